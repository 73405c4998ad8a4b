"""A host that is there before its Redis: it says so, refuses starts, and goes on with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from puppet import Caller, Puppet, running_host, write_root
from redis_server import RedisServer
from store_suite import until

from host.app import Host
from host.cli.status import status
from host.store.protocol import StoreUnavailable
from host.store.redis import RedisConnections, RedisStore


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """One that does not run yet."""
    made = RedisServer(tmp_path / "redis")
    yield made
    made.kill()


@pytest.fixture
async def host(tmp_path: Path, server: RedisServer) -> AsyncIterator[Host]:
    async with running_host(write_root(tmp_path / "root", Store=server.url)) as running:
        yield running


async def ping(client: Caller) -> dict[str, Any]:
    return (await client.call("GET", "/v1/status/ping"))[1]


async def has_trouble(client: Caller) -> bool:
    return "storeTrouble" in await ping(client)


async def is_fine(client: Caller) -> bool:
    return not await has_trouble(client)


async def test_a_host_starts_before_its_redis(
    host: Host,
    server: RedisServer,
    session: aiohttp.ClientSession,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client, puppet = Caller(session, host.url), Puppet(session, host.url)
    await until(partial(has_trouble, client))  # the host's first look
    assert f"Redis at {server.url}: " in (await ping(client))["storeTrouble"]
    assert "is it running" in host.sweeper.trouble
    assert (
        await status(host.url) == 0 and "the store is not available now" in capsys.readouterr().out
    )
    await client.call("GET", "/v1/queue/puppet_queue", params={**puppet.query, "wait": "0"})
    code, body = await client.call("POST", "/v1/text/tell", json={"prompt": "x"})
    assert code == 503 and "is it running" in body["error"] and body["retryAfterMs"]

    waiting = asyncio.create_task(puppet.take())
    await asyncio.to_thread(server.start)
    await until(partial(is_fine, client))
    if waiting.done() and waiting.exception() is not None:  # it was told to come again
        waiting = asyncio.create_task(puppet.take())
    command_id = await client.tell("hello")
    await puppet.finish(await waiting, 0, "done")
    assert (await client.status(command_id))["reply"] == "done"
    said = [entry.entry for entry in host.log.list(count=100) if "the store is" in entry.entry]
    assert said[0].startswith(f"the store is away: Redis at {server.url}: ")
    assert said[1:] == ["the store is back"]


async def test_what_is_there_and_cannot_be_used_is_an_error_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path / "redis", "--requirepass", "open sesame")
    await asyncio.to_thread(server.start)
    with pytest.raises(StoreUnavailable, match="does not let this host in"):
        await RedisStore(RedisConnections(server.url, must_be_there=False)).open()
    server.kill()
    store = RedisStore(RedisConnections(server.url, must_be_there=False))
    with caplog.at_level(logging.WARNING):
        await store.open()
    (line,) = [one.getMessage() for one in caplog.records if "not there yet" in one.getMessage()]
    assert server.url in line and "is it running" in line
    with pytest.raises(StoreUnavailable, match="is it running"):
        await store.stats("queue")
    await store.close()
