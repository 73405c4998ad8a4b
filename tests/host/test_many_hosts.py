"""Several hosts on one Redis: any of them serves any command, wherever its module polls."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from puppet import Caller, Puppet, write_root
from redis_server import RedisServer

from host.app import Host
from host.settings import load_settings
from host.store.redis import RedisConnections, RedisStore
from host.switchboard.redis import RedisSwitchboard


@asynccontextmanager
async def host_on(server: RedisServer, namespace: str, root: Path) -> AsyncIterator[Host]:
    """One host of those that share a namespace."""
    connections = RedisConnections(server.url, namespace=namespace)
    store, switchboard = RedisStore(connections), RedisSwitchboard(connections)
    host = Host(load_settings(write_root(root)), store=store, switchboard=switchboard)
    await host.start()
    try:
        yield host
    finally:
        await host.stop()


@pytest.fixture
async def hosts(server: RedisServer, tmp_path: Path) -> AsyncIterator[list[Host]]:
    namespace = secrets.token_hex(8)
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(host_on(server, namespace, tmp_path / name))
            for name in ("a", "b")
        ]


@pytest.fixture
async def puppet(hosts: list[Host], session: aiohttp.ClientSession) -> Puppet:
    """A module that polls the first host, known to the second."""
    made = Puppet(session, hosts[0].url)
    await made.poll(wait=0)
    await hosts[0].registry.refresh()
    await hosts[1].registry.refresh()
    return made


@pytest.fixture
async def client(hosts: list[Host], session: aiohttp.ClientSession, puppet: Puppet) -> Caller:
    """A client of the second host."""
    return Caller(session, hosts[1].url)


async def test_a_command_goes_from_host_to_host(puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell("hello")
    work = await puppet.take()
    assert work["reqid"] == command_id
    seen = asyncio.create_task(client.status(command_id, offset=0, wait=10))
    await puppet.progress(work, 0, "hel")
    assert (await seen)["delta"] == "hel"
    assert (await client.status(command_id, offset=1))["delta"] == "el"
    await puppet.finish(work, 3, "lo")
    status = await client.status(command_id)
    assert (status["state"], status["reply"]) == ("completed", "hello")
    there = Caller(client.session, puppet.url)
    assert (await there.status(command_id))["reply"] == "hello"


async def test_a_start_reaches_a_module_that_waits_elsewhere(
    puppet: Puppet, client: Caller
) -> None:
    waiting = asyncio.create_task(puppet.take())
    command_id = await client.tell()
    assert (await waiting)["reqid"] == command_id


async def test_a_stream_follows_a_command_of_another_host(puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    work = await puppet.take()
    url = f"{client.url}/v1/commands/{command_id}/events"
    async with client.session.get(url) as response:
        await puppet.progress(work, 0, "one ")
        await puppet.finish(work, 4, "two")
        text = await response.text()
    last = text.strip().split("\n\n")[-1].splitlines()
    assert last[1] == "event: done"
    assert json.loads(last[2].removeprefix("data: "))["reply"] == "one two"


async def test_a_cancel_reaches_the_module_at_once(puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    work = await puppet.take()
    told = asyncio.create_task(puppet.control(wait=10))
    assert (await client.cancel(command_id))["cancel"] == "requested"
    assert await told == [{"type": "cancel", "commandId": command_id}]
    reply = await puppet.progress(work, 0, "part")
    assert reply["cancel"] == [command_id]
    await puppet.finish(work, 4, "", stop_reason="cancelled")
    assert (await client.status(command_id))["state"] == "cancelled"


async def test_a_waiting_command_is_cancelled_at_once(puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    assert (await client.cancel(command_id))["state"] == "cancelled"
    assert await puppet.poll(wait=0) is None


async def test_a_deleted_command_is_gone_everywhere(puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    await puppet.finish(await puppet.take(), 0, "secret")
    there = Caller(client.session, puppet.url)
    assert (await there.status(command_id))["reply"] == "secret"
    assert (await client.call("DELETE", f"/v1/commands/{command_id}"))[0] == 200
    status, _ = await there.call("GET", f"/v1/commands/{command_id}")
    assert status == 404


async def test_an_ordinary_answer_finds_its_client(puppet: Puppet, client: Caller) -> None:
    talk = asyncio.create_task(client.post("/v1/text/talk"))
    await puppet.answer(await puppet.take(), success=True, said="hello")
    assert (await talk)["said"] == "hello"


async def test_a_module_may_change_hosts_in_the_middle(
    hosts: list[Host], puppet: Puppet, client: Caller
) -> None:
    command_id = await client.tell()
    work = await puppet.take()
    await puppet.progress(work, 0, "here ")
    puppet.url = hosts[1].url
    await puppet.finish(work, 5, "there")
    assert (await client.status(command_id))["reply"] == "here there"


async def test_a_hosts_end_takes_nothing_with_it(
    server: RedisServer, tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    namespace = secrets.token_hex(8)
    async with host_on(server, namespace, tmp_path / "b") as second:
        async with host_on(server, namespace, tmp_path / "a") as first:
            puppet = Puppet(session, first.url)
            await puppet.poll(wait=0)
            running, waiting = await puppet.tell("1"), await puppet.tell("2")
            work = await puppet.take()
            await puppet.progress(work, 0, "half ")
        puppet.url = second.url
        await puppet.finish(work, 5, "whole")
        assert (await puppet.status(running))["reply"] == "half whole"
        assert (await puppet.take())["reqid"] == waiting


async def test_a_browser_is_the_same_on_every_host(hosts: list[Host], puppet: Puppet) -> None:
    """Also where they have data directories, and secrets, of their own."""
    jar = aiohttp.CookieJar(unsafe=True)  # both are 127.0.0.1, as behind one name
    async with aiohttp.ClientSession(cookie_jar=jar) as browser:
        first, second = (Caller(browser, host.url) for host in hosts)
        await first.call("GET", "/v1/session")
        path = f"/v1/commands/{await first.tell()}"
        assert (await second.call("GET", path))[0] == 200
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as other:
        stranger = Caller(other, hosts[1].url)
        await stranger.call("GET", "/v1/session")
        assert (await stranger.call("GET", path))[0] == 404
