"""A disk of 8 MB that is full: what has begun ends, what has ended can be read and deleted."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from store_suite import claimed, new, until

from host.commands import NewCommand, Outcome, State
from host.store.local import LocalStore
from host.store.protocol import StoreUnavailable


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    if shutil.which("mount") is None:
        pytest.skip("there is no mount")
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(tmp_path)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting needs more rights")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


@pytest.fixture
async def store(disk: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LocalStore]:
    monkeypatch.setattr("host.store.rows.store.TIDY_EVERY_S", 0.05)
    made = LocalStore(disk / "data")
    await made.open()
    yield made
    await made.close()


def fill(disk: Path) -> Path:
    """Take all the space that is left."""
    file = disk / "filler"
    with suppress(OSError), file.open("ab", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
    return file


def large(size: int = 100_000) -> NewCommand:
    wanted = new()
    wanted.payload["values"][0]["value"] = ["x" * size]
    return wanted


async def until_refused(store: LocalStore) -> None:
    """Start commands until no more are taken."""
    with pytest.raises(StoreUnavailable, match="disk is full"):
        while True:
            await store.create(large())


async def test_what_runs_ends_and_what_has_ended_can_be_deleted(
    store: LocalStore, disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    running = [await claimed(store) for _ in range(20)]
    ended, attempt = await claimed(store)
    await store.finish(ended, attempt, Outcome.of({"success": True, "reply": "safe"}))
    filler = fill(disk)
    await until_refused(store)
    for command_id, attempt in running:
        await store.append(command_id, attempt, 0, "as far as it came, ", {"n": 1})
        outcome = Outcome.of({"success": True, "reply": "as far as it came, and to its end"})
        assert (await store.finish(command_id, attempt, outcome)).state is State.COMPLETED
    assert await store.delete(ended)
    with pytest.raises(StoreUnavailable, match="none can begin"):
        await store.create(new())
    filler.unlink()
    assert await created(store)
    for command_id, _ in running:
        found = await store.read(command_id)
        assert found is not None and found.text == "as far as it came, and to its end"


async def created(store: LocalStore) -> bool:
    """Whether a command is taken again, as soon as the store has seen that there is space."""

    async def is_taken() -> bool:
        with suppress(StoreUnavailable):
            return bool(await store.create(new()))
        return False

    await until(is_taken)
    return True


async def test_a_host_starts_on_a_full_disk(store: LocalStore, disk: Path) -> None:
    """What there is can be read, and what runs can end; nothing new begins."""
    running, attempt = await claimed(store)
    ended, other = await claimed(store)
    await store.finish(ended, other, Outcome.of({"success": True, "reply": "still here"}))
    fill(disk)
    await until_refused(store)
    fill(disk)
    await store.close()
    again = LocalStore(disk / "data")
    await again.open()
    try:
        found = await again.read(ended)
        assert found is not None and found.text == "still here"
        with pytest.raises(StoreUnavailable):
            await again.create(new())
        assert [one.id for one in await again.running("worker")] == [running]
        (disk / "filler").unlink()
        await again.finish(running, attempt, Outcome.of({"success": True}))
        assert await created(again)
    finally:
        await again.close()


async def test_without_any_space_what_there_is_can_be_read(
    store: LocalStore, disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even the reserve is there."""
    ended, attempt = await claimed(store)
    await store.finish(ended, attempt, Outcome.of({"success": True, "reply": "still here"}))
    short = await store.create(new(is_long=False))
    await asyncio.sleep(1)  # it is written, though nobody waits for that
    await store.close()
    (disk / "data" / "commands" / "reserve").unlink()
    fill(disk)
    assert os.statvfs(disk).f_bavail == 0, errno.ENOSPC
    again = LocalStore(disk / "data")
    await again.open()
    try:
        found = await again.read(ended)
        assert found is not None and found.text == "still here"
        with pytest.raises(StoreUnavailable):
            await again.create(new())
        assert await again.read(short.id) is None or "can be read" in caplog.text
    finally:
        await again.close()
