"""The bytes of bodies, all together and of each client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from puppet import Caller, Puppet, caller_from, running_host, write_root
from raw_http import answer, connect, head

from host.app import Host
from host.store.memory import MemoryStore
from host.store.rows import alive
from host.work import held as held_module
from host.work.held import Held
from host.work.intake import ShareTaken

TELL = "/v1/text/tell"
FORM = "application/x-www-form-urlencoded"
KB = 1024


@pytest.fixture(autouse=True)
def looks_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_module, "LOOK_EVERY_S", 0.0)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    """One that holds 1 MB, in bodies of up to 200 kB."""
    root = write_root(tmp_path, MaxBodyMB=200 / 1024, MaxHeldMB=1)
    async with running_host(root) as running:
        yield running


async def send(client: Caller, size: int = 150 * KB, path: str = TELL) -> tuple[int, Any]:
    return await client.call("POST", path, data={"prompt": "x" * (size - 7)})


async def fill(client: Caller) -> list[str]:
    """As many as are taken: their ids."""
    made = []
    while (reply := await send(client))[0] == 200:
        made.append(reply[1]["commandId"])
    status, body = reply
    assert status == 429 and "MaxHeldMB" in body["error"] and "of 1 MB" in body["error"], body
    return made


async def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_a_client_may_hold_what_it_leaves_for_others(
    host: Host, puppet: Puppet, client: Caller
) -> None:
    made = await fill(client)
    assert len(made) == 3, "450 kB of 1024, and 600 would be more than what is left"
    async with caller_from("127.0.0.2", host.url) as other:
        assert len(await fill(other)) == 1, "one body is anybody's, as long as there is room"
    assert 4 * 150 * KB <= host.held.total <= 2**20


async def test_what_has_ended_is_given_back(host: Host, puppet: Puppet, client: Caller) -> None:
    made = await fill(client)
    await client.cancel(made[0])
    assert (await send(client))[0] == 200
    assert (await send(client))[0] == 429
    work = await puppet.take()
    assert (await send(client))[0] == 429, "what runs is held still: it may go back to its queue"
    await puppet.finish(work, 0, "done")
    assert (await send(client))[0] == 200


async def test_small_ones_are_held_only_while_they_come(
    host: Host, puppet: Puppet, client: Caller
) -> None:
    for _ in range(20):
        assert (await send(client, 1000))[0] == 200
    assert host.held.total == 0


async def test_what_is_refused_or_broken_holds_nothing(
    host: Host, puppet: Puppet, client: Caller
) -> None:
    for _ in range(20):
        data = {"nothing": "x" * 150 * KB}
        assert (await client.call("POST", TELL, data=data))[0] == 400
    assert host.held.total == 0
    _, writer = await connect(host.url)
    writer.write(head(host.url, TELL, Content_Type=FORM, Content_Length=150 * KB) + b"prompt=x")
    await until(lambda: host.held.total > 0)
    assert host.held.total == 150 * KB, "what is declared is counted at once"
    writer.close()
    await until(lambda: host.held.total == 0)


async def test_chunks_are_counted_as_they_come(host: Host, puppet: Puppet) -> None:
    reader, writer = await connect(host.url)
    writer.write(head(host.url, TELL, Content_Type=FORM, Transfer_Encoding="chunked"))
    piece = b"x" * 30 * KB
    writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
    await until(lambda: host.held.total >= 30 * KB)
    for _ in range(8):
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
    writer.write(b"0\r\n\r\n")
    status, body = await answer(reader)
    assert status == 413, body
    writer.close()
    assert host.held.total == 0


async def test_a_short_command_is_held_until_its_answer(
    host: Host, puppet: Puppet, client: Caller, session: aiohttp.ClientSession
) -> None:
    asked = asyncio.create_task(send(client, path="/v1/text/talk"))
    work = await puppet.take()
    assert host.held.total == 150 * KB
    await puppet.answer(work, success=True)
    assert (await asked)[0] == 200
    await host.held.settle()
    while (await send(client))[0] == 200:
        pass
    assert host.held.total == 3 * 150 * KB


async def test_a_command_that_is_found_again_is_counted_once(
    host: Host, puppet: Puppet, client: Caller
) -> None:
    for _ in range(5):
        data, headers = {"prompt": "x" * 150 * KB}, {"Idempotency-Key": "k"}
        assert (await client.call("POST", TELL, data=data, headers=headers))[0] == 200
    assert host.held.total < 151 * KB


def test_no_more_than_all_there_is() -> None:
    held = Held(MemoryStore(), 1000, 100)
    uploads = [held.upload(f"client {one}") for one in range(20)]
    taken = 0
    for upload in uploads:
        try:
            upload.take(100)
            taken += 1
        except ShareTaken:
            pass
    assert taken == 10 and held.total == 1000


async def test_recently_ended_commands_are_kept_within_bytes(
    host: Host, puppet: Puppet, client: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alive, "_ENDED_CHARS_KEPT", 100 * KB)
    made = []
    for one in range(5):
        made.append(await client.tell())
        work = await puppet.take()
        await puppet.finish(work, 0, "x" * 30 * KB, more="y" * 10 * KB * (one % 2))
    store: Any = host.store
    kept = [one for one in made if store._alive.get(one) is not None]
    assert kept == made[-2:], "the newest"
    for one in made:
        assert (await client.status(one))["reply"] == "x" * 30 * KB, "others are in the tables"
