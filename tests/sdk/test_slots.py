"""Slots: never more than the limit, turns in the order they were asked for."""

from __future__ import annotations

import asyncio

import pytest

from sdk.work.slots import Slots


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_turns_come_in_order() -> None:
    slots = Slots(2)
    order: list[int] = []

    async def take(number: int) -> None:
        await slots.acquire()
        order.append(number)

    tasks = [asyncio.ensure_future(take(number)) for number in range(5)]
    await settle()
    assert order == [0, 1] and slots.busy == 2 and not slots.is_free
    slots.release()
    await settle()
    assert order == [0, 1, 2]
    slots.release()
    slots.release()
    await settle()
    assert order == [0, 1, 2, 3, 4] and slots.busy == 2
    await asyncio.gather(*tasks)


async def test_a_lowered_limit_holds_from_the_next_turn_on() -> None:
    slots = Slots(3)
    for _ in range(3):
        await slots.acquire()
    slots.lower_limit(1)
    waiting = asyncio.ensure_future(slots.acquire())
    for busy in (2, 1):
        slots.release()
        await settle()
        assert slots.busy == busy and not waiting.done()
    slots.release()
    await waiting
    assert slots.busy == 1 and slots.limit == 1
    slots.lower_limit(5)
    assert slots.limit == 1


async def test_waiting_for_a_free_one_takes_none() -> None:
    slots = Slots(1)
    await slots.wait_free()
    assert slots.busy == 0
    slots.take()
    waiting = asyncio.ensure_future(slots.wait_free())
    await settle()
    assert slots.busy == 1 and not waiting.done()
    slots.release()
    await waiting
    assert slots.busy == 0 and slots.is_free


async def test_one_who_gives_up_leaves_the_turn_to_the_next() -> None:
    slots = Slots(1)
    await slots.acquire()
    first, second = (asyncio.ensure_future(slots.acquire()) for _ in range(2))
    await settle()
    slots.release()  # the first one's turn, just as it gives up
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await asyncio.wait_for(second, 1)
    assert slots.busy == 1
