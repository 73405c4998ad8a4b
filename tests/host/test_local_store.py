"""The durable store against the suite, and what only it promises."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from store_suite import QUEUE, StoreSuite, claimed, clients_in_turn, new, until

from host.commands import Outcome, StaleAttempt, State
from host.store.local import LocalStore
from host.store.protocol import StoreLocked, StoreUnavailable


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalStore]:
    made = await opened(tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def small_store(tmp_path: Path) -> AsyncIterator[LocalStore]:
    made = await opened(tmp_path, max_queue_length=3, first_lease_s=0.05)
    yield made
    await made.close()


async def opened(tmp_path: Path, **more: Any) -> LocalStore:
    store = LocalStore(tmp_path / "data", **more)
    await store.open()
    return store


async def reopened(store: LocalStore, tmp_path: Path, **more: Any) -> LocalStore:
    await store.close()
    return await opened(tmp_path, **more)


def bytes_on_disk(tmp_path: Path) -> bytes:
    files = (file for file in (tmp_path / "data").rglob("*") if file.is_file())
    return b"".join(file.read_bytes() for file in files)


async def ended(store: LocalStore, reply: str = "done", **more: Any) -> str:
    """The id of a command that has ended with that reply."""
    command_id, attempt = await claimed(store, **more)
    await store.finish(command_id, attempt, Outcome.of({"success": True, "reply": reply}))
    return command_id


class TestLocalStore(StoreSuite):
    """Every promise of the protocol."""


# -- what outlives the process ----------------------------------------------------------------


async def test_what_waits_keeps_its_turn_and_its_key(store: LocalStore, tmp_path: Path) -> None:
    for client in "aaaabbb":
        await store.create(new(client=client))
    keyed = await store.create(new(client="c", key="k"))
    assert await clients_in_turn(store, 2) == ["a", "b"]
    before = [one.id for one in await store.queued(QUEUE)]
    store = await reopened(store, tmp_path)
    assert [one.id for one in await store.queued(QUEUE)] == before
    assert (await store.create(new(key="k"))).id == keyed.id
    await store.create(new(client="late"))
    assert await clients_in_turn(store, 4) == ["c", "late", "a", "b"]
    await store.close()


async def test_what_runs_goes_on_under_its_attempt(store: LocalStore, tmp_path: Path) -> None:
    command_id, attempt = await claimed(store)
    await store.append(command_id, attempt, 0, "half \ud83d\U0001f1e8", {"promptTokens": 7})
    await store.cancel(command_id, "time_limit")
    store = await reopened(store, tmp_path, first_lease_s=0.05)
    found = await store.read(command_id)
    assert found is not None and found.state is State.RUNNING and found.worker == "worker"
    assert found.text == "half \ud83d\U0001f1e8" and found.fields == {"promptTokens": 7}
    assert found.stop_wish == "time_limit"
    assert [one.id for one in await store.running("worker")] == [command_id]
    await until(store.lapsed)
    assert await store.append(command_id, attempt, 7, " more", {}) == 12
    with pytest.raises(StaleAttempt):
        await store.append(command_id, "another", 12, "x", {})
    done = await store.finish(command_id, attempt, Outcome.cancelled())
    assert done.result["stop_reason"] == "time_limit"
    await store.close()


async def test_first_text_is_kept_before_it_is_seen(store: LocalStore, tmp_path: Path) -> None:
    """A command that showed text must not start again, not even when the host is killed now."""
    command_id, attempt = await claimed(store)
    await store.append(command_id, attempt, 0, "unheard", {})
    assert b"unheard" in bytes_on_disk(tmp_path)


async def test_a_reply_is_readable_after_a_restart_and_many_later(
    store: LocalStore, tmp_path: Path
) -> None:
    first = await ended(store, "the first reply", key="k")
    store = await reopened(store, tmp_path)
    for _ in range(1000):
        await ended(store)
    found = await store.read(first)
    assert found is not None and found.state is State.COMPLETED
    assert found.text == "the first reply"
    assert (await store.wait(first, found.version, 30)) is not None
    assert (await store.cancel(first)).value == "already finished"
    assert (await store.create(new(key="k"))).id == first
    with pytest.raises(StaleAttempt):
        await store.append(first, "late", 0, "x", {})
    assert (await store.stats(QUEUE)).completed == 1001
    await store.close()


async def test_counts_and_rates_outlive_the_process(store: LocalStore, tmp_path: Path) -> None:
    for _ in range(3):
        await ended(store)
    before = await store.stats(QUEUE)
    store = await reopened(store, tmp_path)
    after = await store.stats(QUEUE)
    assert (after.completed, after.mean_run_s) == (3, before.mean_run_s)
    await store.close()


async def test_text_is_on_disk_within_a_second(store: LocalStore, tmp_path: Path) -> None:
    command_id, attempt = await claimed(store)
    await store.append(command_id, attempt, 0, "hold on to this", {})

    async def is_written() -> bool:
        return b"hold on to this" in bytes_on_disk(tmp_path)

    began = time.monotonic()
    await until(is_written)
    assert time.monotonic() - began < 1.5


async def test_text_outlives_one_crash_after_another(store: LocalStore, tmp_path: Path) -> None:
    """What the tables do not have yet is in the journal, and is there once."""
    command_id, attempt = await claimed(store)
    await store.append(command_id, attempt, 0, "thought ", {}, "reasoning")
    for number in range(3):
        assert await store.append(command_id, attempt, 2 * number, f"{number} ", {"n": number})
        await store.cancel(command_id, "time_limit")

        async def is_on_disk(store: LocalStore = store) -> bool:
            return not store._alive.unsaved

        await until(is_on_disk)
        shutil.copytree(tmp_path / "data" / "commands", tmp_path / f"{number}" / "commands")
        await store.close()
        store = LocalStore(tmp_path / f"{number}")  # as the crash left it
        await store.open()
        found = await store.read(command_id)
        assert found is not None and found.text == "0 1 2 "[: 2 * number + 2]
        assert found.output.texts["reasoning"] == "thought "
        assert (found.fields, found.stop_wish) == ({"n": number}, "time_limit")
        shutil.rmtree(tmp_path / "data")
        shutil.copytree(tmp_path / f"{number}", tmp_path / "data")
        await store.close()
        store = await opened(tmp_path)
    await store.close()


async def test_news_of_what_has_ended_and_left_memory_are_saved_with_its_end(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host.store.rows.alive._ENDED_CHARS_KEPT", 1)
    running = [await claimed(store) for _ in range(3)]
    for offset, text in ((0, "first, "), (7, "second")):
        for command_id, attempt in running:
            await store.append(command_id, attempt, offset, text, {})
    done = Outcome.of({"success": True})
    await asyncio.gather(*(store.finish(*one, done) for one in running))
    other, attempt = await claimed(store)
    assert await store.append(other, attempt, 0, "saved at once", {}) == 13
    for command_id, _ in running:
        found = await store.read(command_id)
        assert found is not None and found.text == "first, second"


@pytest.mark.skipif(sys.platform != "linux", reason="it asks /proc what was written")
async def test_what_grows_is_written_once(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a prompt of 1 MB nor the text so far is written again because there is more: it is
    the new text, and a few words about it."""
    monkeypatch.setattr("host.store.rows.writer.LATER_S", 0.001)
    wanted = new()
    wanted.payload["values"][0]["value"] = ["x" * 2**20]
    await store.create(wanted)
    command = await store.claim(QUEUE, "worker", wait_s=0)
    assert command is not None

    async def is_on_disk() -> bool:
        return not store._alive.unsaved

    before = written_bytes()
    for n in range(50):
        await store.append(command.id, command.attempt or "", 200 * n, "y" * 200, {"n": n})
        await until(is_on_disk)
    assert written_bytes() - before < 50 * (200 + 150)


def written_bytes() -> int:
    facts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(facts["wchar"])


async def test_uploads_come_back_and_go_with_the_end(store: LocalStore, tmp_path: Path) -> None:
    wanted = new()
    upload = {"name": "image", "filename": "a.png", "contentType": "image/png", "data": "UPLOAD"}
    wanted.payload["files"].append(upload)  # type: ignore[arg-type]
    await store.create(wanted)
    store = await reopened(store, tmp_path)
    command = await store.claim(QUEUE, "worker", wait_s=0)
    assert command is not None and command.payload is not None
    assert command.payload["files"] == [upload]
    await store.finish(command.id, command.attempt, Outcome.of({"success": True}))
    store = await reopened(store, tmp_path)
    assert await store.read(command.id) is not None
    await store.close()
    assert b"UPLOAD" not in bytes_on_disk(tmp_path)


async def test_short_commands_without_a_key_are_not_written(
    store: LocalStore, tmp_path: Path
) -> None:
    short = await store.create(new(is_long=False))
    keyed = await store.create(new(is_long=False, key="k"))
    adopted = await store.create(new(is_long=False))
    await store.adopt(adopted.id)
    store = await reopened(store, tmp_path)
    assert await store.read(short.id) is None
    assert {one.id for one in await store.queued(QUEUE)} == {keyed.id, adopted.id}
    await store.close()


async def test_deleted_is_deleted_for_good(store: LocalStore, tmp_path: Path) -> None:
    command_id = await ended(store, "a secret nobody may read", key="k")
    assert b"a secret nobody" in bytes_on_disk(tmp_path)
    assert await store.delete(command_id)
    assert await store.read(command_id) is None

    async def is_gone() -> bool:
        return b"a secret nobody" not in bytes_on_disk(tmp_path)

    await until(is_gone)
    assert (await store.create(new(key="k"))).id != command_id


# -- bounds -----------------------------------------------------------------------------------


async def test_ended_commands_are_kept_for_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host.store.rows.store.TIDY_EVERY_S", 0.05)
    store = await opened(tmp_path, keep_s=0.3)
    command_id = await ended(store, "forget me", key="k")
    assert await store.read(command_id) is not None

    async def is_gone() -> bool:
        return await store.read(command_id) is None and b"forget" not in bytes_on_disk(tmp_path)

    await until(is_gone)
    assert (await store.create(new(key="k"))).id != command_id
    await store.close()


async def test_the_oldest_ended_leave_when_there_are_too_many_bytes(
    store: LocalStore, tmp_path: Path
) -> None:
    ids = [await ended(store, "y" * 10_000) for _ in range(100)]
    waiting = await store.create(new())
    store = await reopened(store, tmp_path, max_bytes=500_000)

    async def is_trimmed() -> bool:
        return await store.read(ids[0]) is None

    await until(is_trimmed)
    there = [await store.read(one) is not None for one in ids]
    assert there == sorted(there) and 10 < sum(there) < 50
    assert [one.id for one in await store.queued(QUEUE)] == [waiting.id]
    await store.close()


# -- privacy, and one host at a time ----------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
async def test_files_are_private(store: LocalStore, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        await ended(store)
        for path in [tmp_path / "data", *(tmp_path / "data").rglob("*")]:
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode == (0o700 if path.is_dir() else 0o600), (path, oct(mode))
    finally:
        os.umask(old)


async def test_a_second_host_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    store = await opened(tmp_path, address="http://127.0.0.1:32168")
    with pytest.raises(StoreLocked, match=f"process {os.getpid()} at http://127.0.0.1:32168, sinc"):
        await opened(tmp_path)
    assert (await store.create(new())).id  # the holder is not disturbed
    store = await reopened(store, tmp_path)
    await store.close()


async def test_another_process_cannot_open_it(store: LocalStore, tmp_path: Path) -> None:
    code = (
        "import asyncio, pathlib, sys; from host.store.local import LocalStore;"
        "asyncio.run(LocalStore(pathlib.Path(sys.argv[1])).open())"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, str(tmp_path / "data")), stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 1 and f"process {os.getpid()}" in errors.decode()


async def test_nothing_is_accepted_after_the_close(store: LocalStore) -> None:
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.create(new())
