"""deploy/redis.conf in a real server: what it keeps over a restart, and whom it lets in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import RedisError
from redis_server import PROGRAMS, RedisServer, redis_server, self_signed
from store_suite import QUEUE, claimed, new

from host.commands import Outcome
from host.store.protocol import StoreUnavailable
from host.store.redis import RedisConnections, RedisStore
from host.store.redis.client import RedisClient
from host.store.redis.errors import ConnectionLost

CONFIG = Path(__file__).resolve().parents[2] / "deploy" / "redis.conf"


class Deployed:
    """A server with the file's own settings, but for addresses and certificates."""

    def __init__(self, server: RedisServer, tls_port: int, certificate: Path) -> None:
        self.server = server
        self._place = f"127.0.0.1:{tls_port}/0?ssl_ca_certs={certificate}"

    @property
    def url(self) -> str:
        """As the file's own user."""
        return f"rediss://llamachat:change-this-password@{self._place}"

    async def ask(self, *command: str) -> Any:
        line = await RedisClient(self.url).new_connection()
        try:
            return await line.ask(*command)
        finally:
            await line.close()


@pytest.fixture(params=PROGRAMS)
def deployed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployed]:
    key, certificate = self_signed(tmp_path)
    tls_port = RedisServer(tmp_path / "other").port
    options = ["--tls-port", str(tls_port), "--tls-cert-file", str(certificate)]
    options += ["--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate)]
    folder, program = tmp_path / "redis", request.param
    with redis_server(folder, *options, program=program, config=CONFIG) as running:
        yield Deployed(running, tls_port, certificate)


async def test_a_restart_keeps_every_command(deployed: Deployed) -> None:
    store = RedisStore(RedisConnections(deployed.url))
    await store.open()
    for key in ("one", "two"):
        command_id, attempt = await claimed(store, key=key)
        await store.append(command_id, attempt, 0, "half", {"n": 1})
    await store.finish(command_id, attempt, Outcome.of({"success": True}))
    waiting = await store.create(new(key="three"))
    assert await store.lapsed() == [] and not await store._bound.tidy()
    await store.stats(QUEUE)
    await store.close()
    keys = await deployed.ask("DBSIZE")
    deployed.server.stop()
    await asyncio.to_thread(deployed.server.start)
    assert await deployed.ask("DBSIZE") == keys > 10
    await store.open()
    assert [one.id for one in await store.queued(QUEUE)] == [waiting.id]
    found = await store.read(command_id)
    assert found is not None and found.text == "half"
    await store.close()


@pytest.mark.parametrize("user", ["", ":@", "default:@", ":guess@", "default:guess@"])
async def test_nobody_gets_in_as_default(deployed: Deployed, user: str) -> None:
    with pytest.raises(StoreUnavailable, match="does not let this host in"):
        await RedisStore(RedisConnections(deployed.server.url.replace("//", f"//{user}"))).open()


async def test_its_user_sees_nothing_of_others(deployed: Deployed) -> None:
    for command in (("GET", "other:key"), ("FLUSHALL",), ("CONFIG", "SET", "maxmemory", "1")):
        with pytest.raises((RedisError, ConnectionLost), match="permissions"):
            await deployed.ask(*command)
