"""The stores of the fault runs, and their figures, which the test run shows at its end.

Redis runs with `appendonly yes` and `appendfsync always`: what it has answered is in its file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import Report
from redis_server import PROGRAMS, RedisServer, redis_server


@pytest.fixture(params=PROGRAMS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis", program=request.param) as running:
        yield running


@pytest.fixture(params=[pytest.param("memory", marks=pytest.mark.slow), "local", *PROGRAMS])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """What `Server.Store` says. The one in memory has the rules of the local one, and no file."""
    if request.param in ("memory", "local"):
        yield request.param
        return
    with redis_server(tmp_path / "redis", program=request.param) as running:
        yield running.url


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """`report(figures)`: one line under this test's name."""

    def add(figures: dict[str, Any]) -> None:
        said = ", ".join(f"{name} {value}" for name, value in figures.items())
        request.node.user_properties.append(("figures", f"{request.node.name}: {said}"))

    return add
