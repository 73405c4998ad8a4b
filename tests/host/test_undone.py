"""What could not be written has not happened, nor has anything that was built on it meanwhile."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest
from store_suite import QUEUE, claimed, new

from host.commands import Outcome, State
from host.store.local import LocalStore
from host.store.protocol import StoreUnavailable
from host.store.rows.alive import Changes
from host.store.rows.tables import Tables

DONE = Outcome.of({"success": True})


class FailingWrite:
    """In place of `Tables.write`: it begins, and fails when it is told to."""

    def __init__(self) -> None:
        self.has_begun, self.may_fail = threading.Event(), threading.Event()

    def __call__(self, work: Changes) -> None:
        self.has_begun.set()
        assert self.may_fail.wait(30)
        raise sqlite3.OperationalError("disk I/O error")


async def test_all_is_as_it_was_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path / "data")
    await store.open()
    running, attempt = await claimed(store, client="ann")
    await store.append(running, attempt, 0, "so far", {})
    before = await store.stats(QUEUE)
    writing = FailingWrite()
    with monkeypatch.context() as patch:
        patch.setattr(Tables, "write", lambda _, work: writing(work))
        asked = [asyncio.create_task(store.create(new(client="ann", key="k")))]
        assert await asyncio.to_thread(writing.has_begun.wait, 30)
        for later in (
            store.create(new(key="k")),
            store.claim(QUEUE, "other", wait_s=0),
            store.append(running, attempt, 6, " and on", {"n": 1}),
            store.finish(running, attempt, DONE),
            store.finish(running, attempt, DONE),  # the first of them counts, if it is written
        ):
            asked.append(asyncio.create_task(later))  # type: ignore[arg-type]
            await asyncio.sleep(0)
        found = await store.read(running)
        assert found is not None and (found.state, found.text) == (State.RUNNING, "so far")
        writing.may_fail.set()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in answers] == [StoreUnavailable] * 6
    assert await store.stats(QUEUE) == before
    assert await store.queued(QUEUE) == [] and await store.running("other") == []
    made = await store.create(new(client="ann", key="k"))
    assert made.turn == found.turn, "she has lost none"
    assert await store.append(running, attempt, 6, " and on", {}) == 13
    await store.close()
    again = LocalStore(tmp_path / "data")
    await again.open()
    (found,) = await again.running("worker")
    assert (found.text, found.fields) == ("so far and on", {})
    assert (await again.finish(running, attempt, DONE)).state is State.COMPLETED
    await again.close()


async def test_one_whose_claim_is_being_written_is_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(tmp_path / "data")
    await store.open()
    waiting, writing = await store.create(new()), FailingWrite()
    with monkeypatch.context() as patch:
        patch.setattr(Tables, "write", lambda _, work: writing(work))
        claiming = asyncio.create_task(store.claim(QUEUE, "worker", wait_s=0))
        assert await asyncio.to_thread(writing.has_begun.wait, 30)
        found = await store.read(waiting.id)
        assert found is not None and found.state is State.QUEUED
        assert await store.position(waiting.id) == 1, "as it is read, it waits"
        writing.may_fail.set()
        with pytest.raises(StoreUnavailable):
            await claiming
    assert await store.position(waiting.id) == 1
    await store.close()
