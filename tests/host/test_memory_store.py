"""The in-memory store against the suite, and what only it promises."""

from __future__ import annotations

import pytest
from store_suite import QUEUE, StoreSuite, new

from host.commands import Outcome
from host.store.memory import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def small_store() -> MemoryStore:
    return MemoryStore(max_queue_length=3, first_lease_s=0.05)


class TestMemoryStore(StoreSuite):
    """Every promise of the protocol."""


async def test_the_oldest_finished_command_leaves_first() -> None:
    store = MemoryStore(keep_finished=2)
    ids = []
    for _ in range(3):
        ids.append((await store.create(new())).id)
        command = await store.claim(QUEUE, "worker", wait_s=0)
        assert command is not None
        await store.finish(command.id, command.attempt or "", Outcome.of({"success": True}))
    assert [await store.read(one) is not None for one in ids] == [False, True, True]
