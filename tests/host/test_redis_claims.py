"""Who is woken when work comes to hosts on one Redis: one module of each, and never nobody."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis_server import RedisServer
from store_suite import QUEUE, new

from host.commands import Command
from host.store.redis import RedisConnections, RedisStore
from host.store.redis import waiting as waiting_file
from host.store.redis.claims import RedisClaims, Wanted
from host.store.redis.subscriber import Channel, Listener

SETTLED_S = 0.1


@pytest.fixture
async def hosts(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[RedisStore]]:
    """Two, whose waiters look again only when they are woken."""
    monkeypatch.setattr(waiting_file, "LOOK_AGAIN_S", 1000.0)
    namespace = secrets.token_hex(8)
    made = [RedisStore(RedisConnections(server.url, namespace=namespace)) for _ in range(2)]
    for store in made:
        await store.open()
    yield made
    for store in made:
        await store.close()


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[Wanted]:
    """What was tried to be claimed."""
    found: list[Wanted] = []
    ask = RedisClaims.ask

    async def counting(self: RedisClaims, wanted: Wanted) -> Command | None:
        found.append(wanted)
        return await ask(self, wanted)

    monkeypatch.setattr(RedisClaims, "ask", counting)
    return found


def waiting(store: RedisStore, count: int, **more: Any) -> list[asyncio.Task[Command | None]]:
    return [
        asyncio.create_task(store.claim(QUEUE, f"worker {n}", wait_s=1000, **more))
        for n in range(count)
    ]


async def test_one_command_wakes_one_module_of_each_host(
    hosts: list[RedisStore], tries: list[Wanted]
) -> None:
    claims = [claim for store in hosts for claim in waiting(store, 30)]
    await asyncio.sleep(SETTLED_S)
    tries.clear()
    made = await hosts[0].create(new())
    done, rest = await asyncio.wait(claims, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(SETTLED_S)
    assert [claim.result().id for claim in done if claim.result()] == [made.id]
    assert len(tries) == 2 and len(rest) == 59
    tries.clear()
    made_all = {(await hosts[1].create(new())).id for _ in range(10)}
    while len(done) < 11:
        some, rest = await asyncio.wait(rest, return_when=asyncio.FIRST_COMPLETED)
        done |= some
    assert {claim.result().id for claim in done if claim.result()} == {made.id, *made_all}
    assert len(tries) <= 40  # each got one, or one of each host looked in vain
    for claim in rest:
        claim.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


async def test_each_kind_of_work_wakes_one_who_may_have_it(
    hosts: list[RedisStore], tries: list[Wanted]
) -> None:
    store = hosts[0]
    short = waiting(store, 5, is_long_allowed=False)
    await asyncio.sleep(SETTLED_S)
    (anything,) = waiting(store, 1)
    await asyncio.sleep(SETTLED_S)
    tries.clear()
    long = await store.create(new(is_long=True))
    taken = await anything
    assert taken is not None and taken.id == long.id and len(tries) == 2
    quick = await store.create(new(is_long=False))
    done, rest = await asyncio.wait(short, return_when=asyncio.FIRST_COMPLETED)
    assert [claim.result().id for claim in done if claim.result()] == [quick.id]
    for claim in rest:
        claim.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


async def test_who_leaves_passes_on_what_woke_him(hosts: list[RedisStore]) -> None:
    """Modules that hang up at any moment, and one that stays: it hears of what they leave."""
    chance = random.Random(7)
    for n in range(100):
        store = hosts[n % 2]
        leavers = waiting(store, 3)
        await asyncio.sleep(0.01 * chance.random())
        (stayer,) = waiting(store, 1)
        await asyncio.sleep(0.01 * chance.random())
        making = asyncio.create_task(hosts[chance.randrange(2)].create(new()))
        for leaver in leavers:
            await asyncio.sleep(0.002 * chance.random())
            leaver.cancel()
        found = await asyncio.gather(*leavers, return_exceptions=True)
        made = await making
        if not any(isinstance(one, Command) for one in found):
            work = await asyncio.wait_for(stayer, 20)
            assert work is not None and work.id == made.id
        stayer.cancel()
        await asyncio.gather(stayer, return_exceptions=True)
        for left in await store.queued(QUEUE):
            await store.cancel(left.id)


async def test_a_line_that_broke_wakes_all(hosts: list[RedisStore]) -> None:
    """Nobody knows what was published meanwhile."""
    store = hosts[0]
    claims = waiting(store, 3)
    await asyncio.sleep(SETTLED_S)
    assert store._subscriber._connection is not None
    store._subscriber._connection.lost.set()
    made = {(await hosts[1].create(new())).id for _ in range(3)}
    assert {one.id for one in await asyncio.gather(*claims) if one} == made


def test_a_message_rings_the_first_of_each_line() -> None:
    channel = Channel(0.0)
    readers, anything, short = (
        [Listener(), Listener()],
        [Listener("any"), Listener("any")],
        [Listener("short")],
    )
    channel.listeners = dict.fromkeys([*readers, *anything, *short])
    channel.tell()
    assert [ear.has_rung for ear in channel.listeners] == [True, True, True, False, True]
    channel.tell()  # the next one, for the first has not heard it yet
    assert anything[1].has_rung


def test_who_leaves_unheard_passes_it_on_in_his_line() -> None:
    channel = Channel(0.0)
    first, reader, short, second, third = (
        Listener("any"),
        Listener(),
        Listener("short"),
        Listener("any"),
        Listener("any"),
    )
    channel.listeners = dict.fromkeys([first, reader, short, second, third])
    first.ring()
    channel.leave(first)
    assert [ear.has_rung for ear in channel.listeners] == [False, False, True, False]
    reader.ring()
    channel.leave(reader)
    assert [ear.has_rung for ear in channel.listeners] == [False, True, False]
