"""The store on a real Redis against the suite, and what only it promises."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis_server import RedisServer
from store_suite import QUEUE, StoreSuite, claimed, new

from host.commands import Outcome
from host.store.protocol import Append
from host.store.redis import RedisConnections, RedisStore
from host.store.redis.connection import Argument, Connection


@pytest.fixture
def connections(server: RedisServer) -> RedisConnections:
    """To a namespace of the test's own."""
    return RedisConnections(server.url, namespace=secrets.token_hex(8))


@pytest.fixture
async def store(connections: RedisConnections) -> AsyncIterator[RedisStore]:
    made = RedisStore(connections)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def small_store(connections: RedisConnections) -> AsyncIterator[RedisStore]:
    made = RedisStore(connections, max_queue_length=3, first_lease_s=0.05)
    await made.open()
    yield made
    await made.close()


class TestRedisStore(StoreSuite):
    """Every promise of the protocol."""


async def lives_on(store: RedisStore) -> dict[str, int]:
    """Each key of the store's namespace, and its time to live in seconds; -1 = for ever."""
    link = store._connections.client
    line = await link.new_connection()
    keys = await line.ask("KEYS", link.prefix.replace("{", "[{]") + "*")
    found = {key.decode()[len(link.prefix) :]: await line.ask("TTL", key) for key in keys}
    await line.close()
    return found


async def test_only_ended_commands_have_their_time(connections: RedisConnections) -> None:
    store = RedisStore(connections, keep_s=3600)
    await store.open()
    ended, attempt = await claimed(store, key="first")
    await store.append(ended, attempt, 0, "text", {"n": 1})
    await store.finish(ended, attempt, Outcome.of({"success": True}))
    waiting = await store.create(new(key="second"))
    times = await lives_on(store)
    for kind in ("c", "text", "fields", "payload"):
        assert 3500 < times.pop(f"{kind}:{ended}") <= 3600
    assert 3500 < times.pop("key:first") <= 3600
    assert set(times.values()) == {-1}
    assert {f"c:{waiting.id}", f"payload:{waiting.id}", "key:second"} <= set(times)
    await store.close()


async def test_a_deleted_command_leaves_nothing(store: RedisStore) -> None:
    command_id, attempt = await claimed(store, key="k")
    await store.append(command_id, attempt, 0, "secret", {"n": 1})
    await store.finish(command_id, attempt, Outcome.of({"success": True}))
    assert await store.delete(command_id)
    assert not [key for key in await lives_on(store) if command_id in key or key == "key:k"]


async def test_two_hosts_see_one_store(server: RedisServer, store: RedisStore) -> None:
    namespace = store._connections.client.prefix[1:-2]
    other = RedisStore(RedisConnections(server.url, namespace=namespace))
    await other.open()
    made = await store.create(new())
    work = await other.claim(QUEUE, "worker", wait_s=0)
    assert work is not None and work.id == made.id and work.payload == new().payload
    for offset, text in enumerate("中x\ud83d"):  # half a surrogate pair, as JSON may bring it
        assert await other.append(made.id, work.attempt or "", offset, text, {"n": offset})
        found = await store.read(made.id)
        assert found is not None and found.text.endswith(text) and found.fields == {"n": offset}
    await other.close()


async def test_what_is_remembered_has_a_limit(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host.store.redis.records.REMEMBERED_BYTES", 10_000)
    made = [await claimed(store) for _ in range(20)]
    for _ in range(2):
        for command_id, attempt in made:
            length = await store.append(command_id, attempt, 0, "text", {})
            found = await store.read(command_id)
            assert found is not None and len(found.text) == length
    assert len(store._records._known) <= 5


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many questions went to Redis since it was called last."""
    asked: list[str] = []
    ask = Connection.ask

    def counting(self: Connection, *command: Argument) -> asyncio.Future[Any]:
        asked.append(str(command[0]))
        return ask(self, *command)

    def count() -> int:
        found = len(asked)
        asked.clear()
        return found

    monkeypatch.setattr(Connection, "ask", counting)
    return count


async def test_readers_of_one_command_share_its_reads(
    store: RedisStore, trips: Callable[[], int]
) -> None:
    command_id, attempt = await claimed(store)
    found = await store.read(command_id)
    assert found is not None
    for step in range(3):
        version = found.version
        readers = [asyncio.create_task(store.wait(command_id, version, 30)) for _ in range(100)]
        await asyncio.sleep(0.05)
        trips()
        await store.append(command_id, attempt, step, "x", {})
        seen = await asyncio.gather(*readers)
        assert trips() == 1 + 1  # the append, and one read for all
        assert all(one is seen[0] for one in seen)
        found = seen[0]
        assert found is not None and found.text == "x" * (step + 1)


async def test_round_trips(store: RedisStore, trips: Callable[[], int]) -> None:
    """As docs/redis.md lists them."""
    trips()
    made = await store.create(new(key="k", max_wait_s=60, max_run_s=60))
    assert trips() == 1
    await store.position(made.id)
    assert trips() == 1
    work = await store.claim(QUEUE, "worker", wait_s=0)
    assert work is not None and trips() == 1
    attempt = work.attempt or ""
    await store.append(made.id, attempt, 0, "text", {"n": 1})
    assert trips() == 1
    await store.wait(made.id, work.version, 30)
    assert trips() == 1  # and one to subscribe, for the first who waits
    waiting = asyncio.create_task(store.wait(made.id, work.version + 1, 30))
    await asyncio.sleep(0.05)
    await store.append(made.id, attempt, 4, "more", {})
    await waiting
    assert trips() == 1 + 2  # it looks before it waits, and when it is woken
    await store.running("worker")
    await store.renew("worker", 20)
    await store.cancel(made.id)
    await store.finish(made.id, attempt, Outcome.cancelled())
    await store.read(made.id)
    await store.stats(QUEUE)
    await store.lapsed()
    await store.overdue()
    await store.delete(made.id)
    assert trips() == 9
    pairs = [await claimed(store) for _ in range(20)]
    trips()
    appends = [
        Append(*pair, 0, "text", {}, channel) for pair in pairs for channel in ("a", "reply")
    ]
    await store.report("worker", appends)
    assert trips() == 1  # and it says what is to stop
    await store.busy("worker", "other")
    assert trips() == 1


async def test_a_clock_that_is_set_moves_no_limit_and_no_lease(store: RedisStore) -> None:
    """The server's clock cannot be set here: what it is counted from moves instead."""
    line = await store._connections.client.new_connection()
    prefix = store._connections.client.prefix
    for jump_s in (3600, -3600):
        await line.ask("SET", f"{prefix}skew", jump_s)
        await store.create(new(max_wait_s=60, max_run_s=60))
        await claimed(store, max_wait_s=60, max_run_s=60)
        await store.renew("worker", 20)
        assert await store.lapsed() == []
        await line.ask("DEL", f"{prefix}skew")  # for the scripts, it is an hour later, or earlier
        assert await store.lapsed() == [] and await store.overdue() == []
        for limit, counted_s in (("due", 60), ("leases", 45)):
            for one in await line.ask("ZRANGE", f"{prefix}{limit}", 0, -1):
                due = float(await line.ask("ZSCORE", f"{prefix}{limit}", one))
                assert store._clock is not None and 0 < due - store._clock[0] <= counted_s
        await line.ask("FLUSHDB")
        store._clock = None
    await line.close()


async def test_a_host_that_slept_moves_no_clock(server: RedisServer, store: RedisStore) -> None:
    namespace = store._connections.client.prefix[1:-2]
    other = RedisStore(RedisConnections(server.url, namespace=namespace))
    await other.open()
    assert await store.lapsed() == await other.lapsed() == []
    assert store._clock is not None
    store._clock = store._clock[0] - 3600, store._clock[1]  # its own clock stood still meanwhile
    assert await other.lapsed() == await store.lapsed() == []
    line = await store._connections.client.new_connection()
    assert await line.ask("GET", f"{store._connections.client.prefix}skew") is None
    await line.close()
    await other.close()
