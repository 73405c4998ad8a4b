"""What Redis may hold: the oldest ended commands leave first, and then only starts are refused."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from puppet import write_root
from redis_server import RedisServer
from store_suite import QUEUE, claimed, new

from host.backends import open_backend
from host.commands import CancelAnswer, Outcome, State
from host.settings import load_settings
from host.store.protocol import StoreUnavailable
from host.store.redis import RedisConnections, RedisStore
from host.store.redis.bound import MemoryBound

DONE = Outcome.of({"success": True})
MB = 2**20


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    made = RedisStore(RedisConnections(server.url, namespace=secrets.token_hex(8)))
    await made.open()
    yield made
    await ask(made, "CONFIG", "SET", "maxmemory", "0")
    await made.close()


async def ask(store: RedisStore, *command: str) -> object:
    line = await store._connections.client.new_connection()
    try:
        return await line.ask(*command)
    finally:
        await line.close()


async def used_bytes(store: RedisStore) -> int:
    used, _, _ = await store._connections.client.call("tidy", "", 3600)
    return int(used)


async def ended(store: RedisStore, size: int, key: str | None = None) -> str:
    command_id, attempt = await claimed(store, key=key)
    await store.append(command_id, attempt, 0, "x" * size, {})
    await store.finish(command_id, attempt, DONE)
    return command_id


async def expect_all_but_starts(store: RedisStore, running: tuple[str, str], words: str) -> None:
    """What runs goes on and ends, what waits can be cancelled, what has ended be read, deleted."""
    waiting = (await store.queued(QUEUE))[0]
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match=words) as caught:
            await store.create(new())
        assert "commands can end and be deleted, none can begin" in str(caught.value)
    assert (await store.create(new(key="known"))).id == waiting.id
    assert await store.append(*running, 0, "text" * 1000, {"n": 1}) == 4000
    await store.renew("worker", 20)
    assert await store.lapsed() == []
    result = {"success": True, "reply": "text" * 1000 + "end"}
    finished = await store.finish(*running, Outcome.of(result))
    assert finished.text == result["reply"] and finished.state is State.COMPLETED
    assert await store.cancel(waiting.id) is CancelAnswer.CANCELLED
    assert (await store.read(running[0])) == finished
    assert await store.delete(running[0]) and await store.read(running[0]) is None


async def test_a_full_memory_refuses_starts_alone(store: RedisStore) -> None:
    running = await claimed(store)
    await store.create(new(key="known"))
    await ask(store, "CONFIG", "SET", "maxmemory", "1")
    await expect_all_but_starts(store, running, "maxmemory")
    await ask(store, "CONFIG", "SET", "maxmemory", "0")
    assert (await store.create(new())).state is State.QUEUED


async def test_what_is_beyond_its_bound_refuses_starts_alone(store: RedisStore) -> None:
    running = await claimed(store)
    await store.create(new(key="known"))
    bound = store._bound = MemoryBound(store._connections.client, 1, 3600)
    assert not await bound.tidy()
    await expect_all_but_starts(store, running, "StoreMaxMB")
    bound._max_bytes = 1000 * MB
    await bound.tidy()
    assert (await store.create(new())).state is State.QUEUED


async def test_the_oldest_ended_leave_first(store: RedisStore) -> None:
    running, attempt = await claimed(store)
    await store.append(running, attempt, 0, "x" * MB, {})
    ids = [await ended(store, MB, key=f"key {n}") for n in range(6)]
    waiting = (await store.create(new())).id
    bound = MemoryBound(store._connections.client, await used_bytes(store) - 2.5 * MB, 3600)
    while await bound.tidy():
        pass
    assert bound.trouble == ""
    left = [one for one in ids if await store.read(one) is not None]
    assert 0 < len(left) < 6 and left == ids[-len(left) :]
    assert (await store.create(new(key="key 5"))).id == ids[5]
    assert (await store.create(new(key="key 0"))).id != ids[0]
    assert [await store.read(one) is not None for one in (waiting, running)] == [True, True]


async def test_maxmemory_too_is_a_bound(store: RedisStore) -> None:
    for _ in range(12):
        await ended(store, MB)
    full = await used_bytes(store)
    await ask(store, "CONFIG", "SET", "maxmemory", str(full))
    bound = MemoryBound(store._connections.client, None, 3600)
    while await bound.tidy():
        pass
    assert await used_bytes(store) <= 0.9 * full and bound.trouble == ""


async def test_what_has_left_by_itself_is_trimmed_no_more(store: RedisStore) -> None:
    await ended(store, 10)
    ended_key = f"{store._connections.client.prefix}ended"
    assert await ask(store, "ZCARD", ended_key) == 1
    await MemoryBound(store._connections.client, None, -1).tidy()
    assert await ask(store, "ZCARD", ended_key) == 0


@pytest.mark.parametrize(("said", "max_bytes"), [({}, None), ({"StoreMaxMB": 100}, 100 * MB)])
def test_the_setting_counts_where_it_is_said(
    tmp_path: Path, said: dict[str, float], max_bytes: int | None
) -> None:
    root = write_root(tmp_path, Store="redis://127.0.0.1:1/0", **said)
    store, _ = open_backend(load_settings(root).server)
    assert isinstance(store, RedisStore) and store._bound._max_bytes == max_bytes
