"""Connections: what is no request, how long one may be of no use, and how many there may be."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from child_host import child_host
from puppet import Caller, Puppet, caller_from, running_host, write_root
from raw_http import answer, connect, head, send

from host.app import Host
from host.processes.descriptors import SAID_EVERY_S, most_connections, say_seldom_that_none_is_left
from host.web import connections

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def has_ended(reader: asyncio.StreamReader) -> bool:
    """Wait for the end of a connection."""
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\x16\x03\x01 TLS perhaps\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBroken header\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 10_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused_in_json(
    host: Host, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    status, body = await send(host.url, data)
    assert (status, body["success"], body["code"]) == (400, False, 400)
    assert body["error"].startswith("the request cannot be read: ")
    assert len(body["error"]) < 300
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times that a test can wait for: a look each 20 ms counts as one second."""
    monkeypatch.setattr(connections, "LOOK_EVERY_S", 0.02)
    for name in ("IDLE_S", "HEAD_S", "STUCK_S"):
        monkeypatch.setattr(connections, name, getattr(connections, name) / 100)


@pytest.mark.parametrize("begun", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_one_that_never_asks_ends(quick: None, host: Host, begun: bytes) -> None:
    reader, writer = await connect(host.url)
    writer.write(begun)
    assert await has_ended(reader)
    writer.close()
    await until(lambda: len(host.connections) == 0)


async def test_headers_that_trickle_end_too(quick: None, host: Host) -> None:
    reader, writer = await connect(host.url)
    writer.write(head(host.url, "/v1/status/ping", "GET")[:-2] + b"X-Slow: ")
    ended = asyncio.create_task(has_ended(reader))
    while not ended.done():
        writer.write(b"x")
        await asyncio.sleep(0.02)
    writer.close()


async def test_one_that_is_used_no_more_ends(quick: None, host: Host) -> None:
    reader, writer = await connect(host.url)
    writer.write(head(host.url, "/v1/status/ping", "GET"))
    assert (await answer(reader))[0] == 200
    assert await has_ended(reader)
    writer.close()


async def test_long_polls_and_streams_stay(
    quick: None, host: Host, puppet: Puppet, client: Caller
) -> None:
    assert await puppet.poll(wait=1) is None, "longer than any of the limits"
    command_id = await client.tell()
    url = f"{host.url}/v1/commands/{command_id}/events"
    async with client.session.get(url) as events:
        status = asyncio.create_task(client.status(command_id, wait=1, offset=0))
        assert (await status)["state"] == "queued"
        await client.cancel(command_id)
        assert "event: done" in await events.text()


async def test_an_answer_that_nobody_reads_ends(
    quick: None, host: Host, puppet: Puppet, client: Caller
) -> None:
    command_id = await client.tell()
    work = await puppet.take()
    for piece in range(15):
        await puppet.progress(work, piece * 1_000_000, "x" * 1_000_000)
    await puppet.finish(work, 15_000_000, "")
    reader, writer = await connect(host.url)
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    before = len(host.connections)
    writer.write(head(host.url, f"/v1/commands/{command_id}", "GET"))
    await until(lambda: len(host.connections) < before)
    assert (await client.status(command_id))["state"] == "completed"
    writer.close()


@pytest.fixture
async def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    """A host with sixteen connections, of which anybody may have two."""
    monkeypatch.setattr(connections, "FOR_ANYBODY", 2)
    async with running_host(write_root(tmp_path, MaxConnections=16)) as running:
        yield running


async def opened(stack: AsyncExitStack, host: Host, address: str, data: bytes = b"") -> Stream:
    reader, writer = await connect(host.url, address)
    stack.callback(writer.close)
    writer.write(data)
    return reader, writer


async def test_one_address_cannot_have_them_all(small: Host) -> None:
    waits = head(small.url, "/v1/queue/puppet_queue?moduleId=Puppet&instanceId=x&wait=14", "GET")
    async with AsyncExitStack() as stack:
        for count in range(1, 9):
            await opened(stack, small, "127.0.0.2", waits)
            await until(lambda count=count: len(small.connections) == count)  # type: ignore[misc]
        reader, _ = await opened(stack, small, "127.0.0.2", waits)
        status, body = await answer(reader)
        assert status == 503 and "MaxConnections" in body["error"], body
        assert "8 are open, 8 of them from there" in body["error"]
        async with caller_from("127.0.0.3", small.url) as other:
            assert (await other.call("GET", "/v1/status/ping"))[0] == 200


async def test_idle_ones_make_room(small: Host) -> None:
    async with AsyncExitStack() as stack:
        slow = [await opened(stack, small, "127.0.0.2", b"GET") for _ in range(8)]
        async with caller_from("127.0.0.2", small.url) as same:
            assert (await same.call("GET", "/v1/status/ping"))[0] == 200, "the oldest made room"
            assert await has_ended(slow[0][0])
            for _ in range(100):
                await opened(stack, small, "127.0.0.2", b"GET")
            await until(lambda: len(small.connections) <= 8)
            async with caller_from("127.0.0.3", small.url) as other:
                assert (await other.call("GET", "/v1/status/ping"))[0] == 200


async def test_a_proxy_has_those_of_many(tmp_path: Path) -> None:
    root = write_root(tmp_path, MaxConnections=300, TrustedProxies=["127.0.0.2"])
    async with running_host(root) as host, AsyncExitStack() as stack:
        for _ in range(290):
            await opened(stack, host, "127.0.0.2", b"GET")
        await until(lambda: len(host.connections) == 290)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
async def test_fewer_descriptors_than_strangers_want(tmp_path: Path) -> None:
    root = write_root(tmp_path)
    async with child_host(root, descriptors=600) as (process, url), AsyncExitStack() as stack:
        for address in ("127.0.0.2", "127.0.0.3", "127.0.0.4"):
            for _ in range(200):
                _, writer = await connect(url, address)
                stack.callback(writer.close)
                writer.write(b"GET")
        async with caller_from("127.0.0.5", url) as honest:
            await Puppet(honest.session, url).poll(wait=0)
            assert await honest.tell()
        assert process.returncode is None
    assert "accept" not in (root / "log").read_text()


def test_how_many_connections_follow_from_descriptors() -> None:
    assert most_connections(10) == 10
    assert 1 <= most_connections(10**9) < 10**9 or sys.platform == "win32"


async def test_what_cannot_be_accepted_is_said_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    say_seldom_that_none_is_left(loop)
    context: dict[str, Any] = {
        "message": "socket.accept() out of system resource",
        "exception": OSError(24, "Too many open files"),
    }
    for _ in range(500):
        loop.call_exception_handler(context)
    assert len(caplog.records) == 1 and "LimitNOFILE" in caplog.text
    now = time.monotonic() + SAID_EVERY_S
    monkeypatch.setattr(time, "monotonic", lambda: now)
    loop.call_exception_handler(context)
    assert len(caplog.records) == 2
    loop.call_exception_handler({"message": "something else"})
    assert "something else" in caplog.text
    loop.set_exception_handler(before)


async def test_a_connection_that_ends_is_forgotten(
    host: Host, session: aiohttp.ClientSession
) -> None:
    for _ in range(5):
        _, writer = await connect(host.url)
        writer.close()
    await until(lambda: len(host.connections) == 0)


async def test_a_body_that_nobody_wants_is_answered_before_it_has_come(host: Host) -> None:
    """The rest of it is read as it comes, and the connection is used on."""
    rest = b"x" * (3 * 2**20)
    stranger = head(host.url, "/v1/nowhere/at/all", Content_Length=len(rest))
    async with AsyncExitStack() as stack:
        for _ in range(2 * connections.IGNORED_AT_ONCE):
            reader, writer = await connect(host.url)
            stack.callback(writer.close)
            writer.write(stranger)
            assert (await answer(reader))[0] == 404
            writer.write(rest[:100_000])
        writer.write(rest[100_000:] + head(host.url, "/v1/status/ping", "GET"))
        assert (await answer(reader))[0] == 200


async def test_a_body_that_nobody_wants_and_that_stops_coming_ends(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IGNORED_S", 0.1)
    reader, writer = await connect(host.url)
    writer.write(head(host.url, "/v1/nowhere", Content_Length=100) + b"x")
    assert (await answer(reader))[0] == 404
    assert await has_ended(reader)
    writer.close()
