"""What is big travels apart: on a slow line it is slow and not lost, and nobody waits behind it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cutting_proxy import CuttingProxy
from redis_server import RedisServer
from store_suite import QUEUE, new

from host.commands import CancelAnswer, NewCommand, Outcome, State
from host.store.protocol import QueueFull, StoreUnavailable
from host.store.redis import RedisConnections, RedisStore, big_values, connection
from host.store.redis.scripts import script

MB = 2**20


class SlowProxy(CuttingProxy):
    """A line that takes so many bytes a second, or stands still once a mark has come by."""

    bytes_per_s = 0.0
    mark = b""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.stands_still, self.goes_on = asyncio.Event(), asyncio.Event()

    async def _ask(self, reader: asyncio.StreamReader, to_there: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.mark and self.mark in data:
                self.stands_still.set()
                await self.goes_on.wait()
            if self.bytes_per_s:
                await asyncio.sleep(len(data) / self.bytes_per_s)
            to_there.write(data)


@pytest.fixture
async def proxy(server: RedisServer) -> AsyncIterator[SlowProxy]:
    made = SlowProxy(server.url)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def store(proxy: SlowProxy) -> AsyncIterator[RedisStore]:
    made = RedisStore(
        RedisConnections(proxy.url, namespace=secrets.token_hex(8)), max_queue_length=3
    )
    await made.open()
    yield made
    await made.close()


def with_file(size: int, **more: Any) -> NewCommand:
    command = new(**more)
    data = secrets.token_hex(size // 2)
    file = {"name": "f", "filename": "f.bin", "contentType": "x", "data": data}
    return command._replace(payload={**command.payload, "files": [file]})


async def keys_of(store: RedisStore, kind: str) -> set[str]:
    link = store._connections.client
    found = await (one := await link.new_connection()).ask(
        "KEYS", link.prefix.replace("{", "[{]") + f"{kind}:*"
    )
    await one.close()
    return {key.decode().rpartition(":")[2] for key in found}


@pytest.mark.parametrize("size", [100, big_values.PART_BYTES, 3 * MB + 1])
async def test_an_upload_comes_back_as_it_was(store: RedisStore, size: int) -> None:
    asked = with_file(size)
    made = await store.create(asked)
    work = await store.claim(QUEUE, "worker", wait_s=0)
    assert work is not None and work.id == made.id and work.payload == asked.payload
    assert await keys_of(store, "files") == {made.id}
    link = store._connections.client
    one = await link.new_connection()
    assert await one.ask("TTL", f"{link.prefix}files:{made.id}") == -1  # it is kept for good
    await one.close()


async def test_big_text_too_is_what_was_asked(store: RedisStore) -> None:
    payload = {**new().payload, "values": [{"key": "prompt", "value": ["中\ud83d" * MB]}]}
    await store.create(new()._replace(payload=payload))
    work = await store.claim(QUEUE, "worker", wait_s=0)
    assert work is not None and work.payload == payload


async def test_three_uploads_on_a_slow_line_all_arrive(
    proxy: SlowProxy, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes several times as long as an answer may; the line is never given up."""
    both = (store._connections.client, store._connections.big_values)
    before = [client._connection for client in both]
    monkeypatch.setattr(connection, "SILENCE_S", 0.5)
    proxy.bytes_per_s = 6 * MB
    made = await asyncio.gather(*(store.create(with_file(4 * MB)) for _ in range(3)))
    proxy.bytes_per_s = 0
    assert {one.id for one in await store.queued(QUEUE)} == {one.id for one in made}
    assert [client._connection for client in both] == before


async def test_nobody_waits_behind_an_upload(proxy: SlowProxy, store: RedisStore) -> None:
    """The upload stands still on the line: reads, starts and ends of others go on."""
    other = await store.create(new())
    proxy.mark = script("put_part").sha.encode()
    upload = asyncio.create_task(store.create(with_file(13 * MB)))
    await proxy.stands_still.wait()
    work = await store.claim(QUEUE, "worker", wait_s=0)
    assert work is not None and work.id == other.id
    for step in range(20):
        await store.append(work.id, work.attempt or "", step, "x", {})
        found = await store.read(work.id)
        assert found is not None and len(found.text) == step + 1
    assert not upload.done()
    proxy.goes_on.set()
    assert (await upload).state is State.QUEUED


async def test_what_was_sent_for_no_command_leaves(store: RedisStore) -> None:
    first = await store.create(with_file(MB, key="k"))
    assert (await store.create(with_file(MB, key="k"))).id == first.id
    assert await keys_of(store, "files") == {first.id}
    for _ in range(2):
        await store.create(new())
    with pytest.raises(QueueFull):
        await store.create(with_file(MB))
    assert await keys_of(store, "files") == {first.id}


async def test_a_value_that_has_left_before_its_start_is_said(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*args: Any) -> str:
        return big_values.HERE

    monkeypatch.setattr(big_values.BigValues, "sent", lost)
    with pytest.raises(StoreUnavailable, match="left Redis before"):
        await store.create(with_file(MB))
    assert await store.queued(QUEUE) == []


async def test_a_command_that_ends_while_it_is_fetched_is_no_work(
    proxy: SlowProxy, store: RedisStore
) -> None:
    made = await store.create(with_file(2 * MB))
    proxy.mark = script("get_part").sha.encode()
    claim = asyncio.create_task(store.claim(QUEUE, "worker", wait_s=0))
    await proxy.stands_still.wait()
    (work,) = await store.running("worker")
    assert await store.cancel(made.id) is CancelAnswer.REQUESTED
    await store.finish(made.id, work.attempt, Outcome.cancelled())
    proxy.goes_on.set()
    assert await claim is None
