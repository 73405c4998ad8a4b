"""The in-memory store against the suite, and what only it promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from store_suite import StoreSuite, claimed, until

from host.commands import Outcome
from host.store.memory import MemoryStore


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    async with opened() as made:
        yield made


@pytest.fixture
async def small_store() -> AsyncIterator[MemoryStore]:
    async with opened(max_queue_length=3, first_lease_s=0.05) as made:
        yield made


@asynccontextmanager
async def opened(**more: Any) -> AsyncIterator[MemoryStore]:
    store = MemoryStore(**more)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


class TestMemoryStore(StoreSuite):
    """Every promise of the protocol."""


async def test_the_oldest_ended_leave_when_there_are_too_many_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("host.store.rows.store.TIDY_EVERY_S", 0.05)
    async with opened(max_bytes=500_000) as store:
        ids = []
        for _ in range(100):
            command_id, attempt = await claimed(store)
            outcome = Outcome.of({"success": True, "reply": "y" * 10_000})
            ids.append((await store.finish(command_id, attempt, outcome)).id)

        async def is_trimmed() -> bool:
            return await store.read(ids[0]) is None

        await until(is_trimmed)
        there = [await store.read(one) is not None for one in ids]
        assert there == sorted(there) and sum(there) > 10
