"""Data directories that earlier versions wrote open under this one: a kept sample of each."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from store_suite import QUEUE, claimed, new

from host.commands import Outcome, State
from host.store.local import LocalStore
from host.store.protocol import StoreUnavailable
from host.store.rows.schema import VERSION

SAMPLES = Path(__file__).parent / "old_stores"
LONG_S = 1e9  # they ended when the samples were made


async def opened(data_dir: Path) -> LocalStore:
    store = LocalStore(data_dir, keep_s=LONG_S)
    await store.open()
    return store


@pytest.mark.parametrize("sample", ["diskcache", "rows-1", "rows-2", "rows-3"])
async def test_a_sample_opens_with_all_that_it_has(tmp_path: Path, sample: str) -> None:
    """Two have ended, one runs and is to stop, three wait: bob's with an upload before two more."""
    shutil.copytree(SAMPLES / sample, tmp_path / "data")
    store = await opened(tmp_path / "data")
    done = await store.create(new(key="ended key"))
    assert done.state is State.COMPLETED and done.text == "It is done, \U0001f1e8\U0001f1ed"
    assert done.fields == {"promptTokens": 7} and done.result["processMs"] == 12
    failed = await store.create(new(key="failed key"))
    assert failed.result["error"] == "the module crashed" and failed.text == "half of "
    (running,) = await store.running("gpu-1")
    assert running.text == "so far \ud83d" and running.stop_wish == "cancelled"
    attempt = running.attempt or ""
    assert await store.append(running.id, attempt, 8, " and on", {}) == 15
    waiting = await store.queued(QUEUE)
    assert [one.client for one in waiting] == ["bob", "ann", "bob"]
    first = await store.claim(QUEUE, "gpu-2", wait_s=0)
    assert first is not None and first.id == waiting[0].id and first.payload is not None
    assert [one["data"] for one in first.payload["files"]] == ["VVBMT0FE"]
    assert first.payload["values"] == [{"key": "prompt", "value": ["hello"]}]
    assert (await store.create(new(key="waiting key"))).id == first.id
    assert first.request_digest == ("d1中" if sample == "rows-3" else None)
    stats = await store.stats(QUEUE)
    assert (stats.completed, stats.failed, stats.waiting, stats.running) == (1, 1, 2, 2)
    assert stats.mean_run_s is not None
    await store.close()
    again = await opened(tmp_path / "data")  # what was taken over is taken over once
    assert [one.id for one in await again.queued(QUEUE)] == [one.id for one in waiting[1:]]
    assert (await again.create(new())).number > max(one.number for one in waiting)
    await again.close()


async def test_an_old_record_that_cannot_be_read_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    shutil.copytree(SAMPLES / "diskcache", tmp_path / "data")
    old = tmp_path / "data" / "commands" / "cache.db"
    with closing(sqlite3.connect(old)) as database, database:
        database.execute("UPDATE Cache SET value = '{##' WHERE key LIKE 'ended:%'")
    store = await opened(tmp_path / "data")
    assert len(await store.queued(QUEUE)) == 3
    await store.close()
    assert "took over 4 commands" in caplog.text and "cannot be read" in caplog.text
    assert (tmp_path / "data" / "records.broken").read_text().count("{##") == 2
    assert not old.exists()


async def test_a_store_of_a_later_version_is_left_as_it_is(tmp_path: Path) -> None:
    store = await opened(tmp_path / "data")
    command_id, attempt = await claimed(store)
    await store.finish(command_id, attempt, Outcome.failed("no"))
    await store.close()
    file = tmp_path / "data" / "commands" / "commands.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(StoreUnavailable, match=f"its schema is {VERSION + 1}, expected at most"):
        await opened(tmp_path / "data")
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT count(*) FROM commands").fetchone() == (1,)
