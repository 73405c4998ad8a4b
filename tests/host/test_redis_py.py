"""What host/store/redis uses of redis-py that is no documented part of it, so that a new version
which lacks it fails here, and not in the middle of a lost connection."""

from __future__ import annotations

import inspect
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hiredis
import pytest
from packaging.requirements import Requirement
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection, Connection

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("method", "names"),
    [
        (AbstractConnection.connect, set()),
        (AbstractConnection.send_packed_command, {"command", "check_health"}),
        (AbstractConnection.read_response, {"disable_decoding", "disconnect_on_error"}),
        (AbstractConnection.disconnect, {"nowait"}),
    ],
)
def test_a_connection_has_the_methods_of_a_line(method: Any, names: set[str]) -> None:
    assert inspect.iscoroutinefunction(method)
    assert names <= inspect.signature(method).parameters.keys()


def test_an_address_makes_connections() -> None:
    """As `RedisClient.new_line` makes its own, outside of any pool."""
    pool = ConnectionPool.from_url(
        "redis://user:word@127.0.0.1:7/3", protocol=2, socket_timeout=None
    )
    made = pool.connection_class(**pool.connection_kwargs)
    assert type(made) is Connection and (made.host, made.port, made.db) == ("127.0.0.1", 7, 3)


def test_commands_are_packed_as_redis_reads_them() -> None:
    packed = hiredis.pack_command(("GET", b"\xff", 3, 0.5))  # type: ignore[arg-type]
    assert packed == b"*4\r\n$3\r\nGET\r\n$1\r\n\xff\r\n$1\r\n3\r\n$3\r\n0.5\r\n"


def test_the_range_ends_before_a_version_that_nobody_has_tried() -> None:
    (named,) = re.findall(r'"(redis\[[^"]*)"', (ROOT / "pyproject.toml").read_text())
    redis = Requirement(named)
    assert version("redis") in redis.specifier
    assert "999" not in redis.specifier
