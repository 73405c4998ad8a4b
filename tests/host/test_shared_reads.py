"""Reads that are shared: who may take part in which."""

from __future__ import annotations

import asyncio

import pytest

from host.store.redis.shared_reads import SharedReads


class Source:
    """Answers when told to; each answer is the number of its question."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[int]] = []
        self.reads = SharedReads(self._ask)

    async def _ask(self, key: str) -> int:
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]

    def begin(self, count: int = 1) -> list[asyncio.Task[int]]:
        return [asyncio.create_task(self.reads.read("key")) for _ in range(count)]

    async def until_asked(self, count: int) -> None:
        for _ in range(10):  # whoever was let go takes his place
            await asyncio.sleep(0)
        assert len(self.asked) == count


async def test_those_of_one_moment_share_one() -> None:
    source = Source()
    readers = source.begin(50)
    await source.until_asked(1)
    source.asked[0].set_result(7)
    assert await asyncio.gather(*readers) == [7] * 50


async def test_who_comes_later_hears_nothing_older() -> None:
    source = Source()
    first = source.begin(2)
    await source.until_asked(1)
    later = source.begin(20)
    await asyncio.sleep(0)
    source.asked[0].set_result(1)
    await source.until_asked(2)
    source.asked[1].set_result(2)
    assert await asyncio.gather(*first, *later) == [1] * 2 + [2] * 20


async def test_a_reader_who_leaves_takes_nobody_with_him() -> None:
    source = Source()
    readers = source.begin(3)
    await source.until_asked(1)
    readers[0].cancel()
    await source.until_asked(2)
    source.asked[1].set_result(2)
    assert await asyncio.gather(*readers[1:]) == [2, 2]
    readers = source.begin(2)
    await asyncio.sleep(0)
    readers[0].cancel()  # before he has asked
    await source.until_asked(3)
    source.asked[2].set_result(3)
    assert await readers[1] == 3


async def test_a_failure_is_shared_by_those_who_asked() -> None:
    source = Source()
    first = source.begin(3)
    await source.until_asked(1)
    (later,) = source.begin()
    await asyncio.sleep(0)
    source.asked[0].set_exception(ConnectionError("gone"))
    await source.until_asked(2)
    for reader in first:
        with pytest.raises(ConnectionError):
            await reader
    source.asked[1].set_result(2)
    assert await later == 2
