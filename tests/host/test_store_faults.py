"""What the durable store does when its process is killed, the disk is full, or the file damaged."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from store_suite import QUEUE, claimed, new
from store_writer import reply_to

from host.commands import Outcome, State
from host.store.local import LocalStore
from host.store.protocol import StoreUnavailable

HERE = Path(__file__).parent
DATABASE = Path("data") / "commands" / "commands.db"

posix_only = pytest.mark.skipif(os.name != "posix", reason="signals and limits are POSIX's")


class Writer:
    """store_writer.py as a child process, and what it said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def hear(self, start: str, count: int = 1) -> None:
        """Read until that many more lines with this start have come."""
        assert self.process.stdout is not None
        while count:
            line = (await self.process.stdout.readline()).decode().strip()
            assert line, "the writer ended"
            self.lines.append(line)
            count -= line.startswith(start)

    async def kill(self) -> None:
        """SIGKILL; what it had said before counts."""
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGKILL)
        rest = (await self.process.stdout.read()).decode()
        self.lines += [line for line in rest.split("\n")[:-1]]
        await self.process.wait()

    def said(self, start: str) -> set[str]:
        return {line.split()[1] for line in self.lines if line.startswith(start)}


@asynccontextmanager
async def writer(data_dir: Path, *arguments: object) -> AsyncIterator[Writer]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(HERE / "store_writer.py"), str(data_dir), *map(str, arguments)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{HERE.parents[1]}{os.pathsep}{HERE}"},
    )
    try:
        yield Writer(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def expect_all_there(data_dir: Path, created: Iterable[str], ended: Iterable[str]) -> None:
    """Every confirmed command is there, whole, and none waits that has ended."""
    store = LocalStore(data_dir)
    await store.open()
    try:
        waiting = {one.id for one in await store.queued(QUEUE)}
        for command_id in created:
            assert await store.read(command_id) is not None, "an accepted command is gone"
        for command_id in ended:
            command = await store.read(command_id)
            assert command is not None and command.state is State.COMPLETED, command
            assert command.text == reply_to(command_id)
            assert command_id not in waiting
        held = [one for worker in await store.workers() for one in await store.running(worker)]
        assert not waiting & {one.id for one in held}
        assert all(one.attempt for one in held)
    finally:
        await store.close()


@posix_only
async def test_killed_again_and_again_it_loses_nothing(tmp_path: Path) -> None:
    created: set[str] = set()
    ended: set[str] = set()
    for turn in range(5):
        async with writer(tmp_path / "data", 32) as child:
            await child.hear("ended", 150 + 40 * turn)
            await child.kill()
        created |= child.said("created")
        ended |= child.said("ended")
    assert len(ended) > 1000
    await expect_all_there(tmp_path / "data", created, ended)


@posix_only
async def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    async with writer(tmp_path / "data", 8, 3_000_000) as child:
        await child.hear("refused", 20)
        assert any("cannot write to the store" in line for line in child.lines)
        assert child.process.stdin is not None
        child.process.stdin.write(b"\n")
        await child.hear("lifted")
        before = len(child.said("ended"))
        await child.hear("ended", 100)
        assert len(child.said("ended")) >= before + 100
        await child.kill()
    await expect_all_there(tmp_path / "data", child.said("created"), child.said("ended"))


@posix_only
async def test_killed_while_the_disk_is_full_it_loses_nothing(tmp_path: Path) -> None:
    async with writer(tmp_path / "data", 8, 2_000_000) as child:
        await child.hear("refused", 20)
        await child.kill()
    await expect_all_there(tmp_path / "data", child.said("created"), child.said("ended"))


async def test_a_damaged_database_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / DATABASE).parent.mkdir(parents=True)
    (tmp_path / DATABASE).write_bytes(b"this was a database once" * 1000)
    store = LocalStore(tmp_path / "data")
    await store.open()
    assert "a new one begins" in caplog.text
    aside = list((tmp_path / "data").glob("commands.broken-*"))
    assert len(aside) == 1 and (aside[0] / "commands.db").read_bytes().startswith(b"this was")
    command_id, attempt = await claimed(store)
    await store.finish(command_id, attempt, Outcome.of({"success": True}))
    await store.close()


async def test_what_can_be_read_of_a_damaged_database_goes_on(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "data")
    await store.open()
    ended = []
    for number in range(400):
        command_id, attempt = await claimed(store)
        reply = f"{number} " * 20
        outcome = Outcome.of({"success": True, "reply": reply})
        ended.append((await store.finish(command_id, attempt, outcome), reply))
    waiting = await store.create(new())
    await store.close()
    with (tmp_path / DATABASE).open("r+b") as file:
        file.seek((tmp_path / DATABASE).stat().st_size // 8192 * 4096)
        file.write(b"\xff" * 4096)
    store = LocalStore(tmp_path / "data")
    await store.open()
    found = [await store.read(one.id) for one, _ in ended]
    replies = zip(found, (reply for _, reply in ended), strict=True)
    whole = [one is not None and one.text == reply for one, reply in replies]
    assert 50 < sum(whole) < len(ended) and whole == sorted(whole, reverse=True)
    assert len(list((tmp_path / "data").glob("commands.broken-*"))) == 1
    claimed_again = await store.claim(QUEUE, "worker", wait_s=0)
    assert claimed_again is not None and claimed_again.id == waiting.id
    await store.close()


async def test_a_damaged_record_is_set_aside_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = LocalStore(tmp_path / "data")
    await store.open()
    first, second = [await store.create(new()) for _ in range(2)]
    await store.close()
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database, database:
        database.execute("UPDATE commands SET record = '{#####' WHERE id = ?", (first.id,))
    store = LocalStore(tmp_path / "data")
    await store.open()
    assert "cannot be read" in caplog.text
    assert [one.id for one in await store.queued(QUEUE)] == [second.id]
    broken = tmp_path / "data" / "records.broken"
    assert broken.read_text(encoding="utf-8").count("#####") and first.id in broken.read_text()
    await store.close()
    caplog.clear()
    store = LocalStore(tmp_path / "data")
    await store.open()
    assert "cannot be read" not in caplog.text  # it is said once
    await store.close()


async def test_bytes_that_are_no_text_do_not_keep_a_host_from_starting(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "data")
    await store.open()
    first, second = [await store.create(new()) for _ in range(2)]
    await store.close()
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database, database:
        sql = "UPDATE commands SET record = CAST(x'7bff7d' AS TEXT) WHERE id = ?"
        database.execute(sql, (first.id,))
    store = LocalStore(tmp_path / "data")
    await store.open()
    assert [one.id for one in await store.queued(QUEUE)] == [second.id]
    assert first.id in (tmp_path / "data" / "records.broken").read_text(encoding="utf-8")
    await store.close()


@posix_only
async def test_a_removed_directory_is_made_again(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "data")
    await store.open()
    command_id, attempt = await claimed(store)
    waiting = await store.create(new())
    for file in (tmp_path / "data" / "commands").iterdir():
        file.unlink()
    (tmp_path / "data" / "commands").rmdir()
    await store.finish(command_id, attempt, Outcome.of({"success": True, "reply": "safe"}))
    await store.close()
    again = LocalStore(tmp_path / "data")
    await again.open()
    found = await again.read(command_id)
    assert found is not None and found.text == "safe"
    assert [one.id for one in await again.queued(QUEUE)] == [waiting.id]
    await again.close()


async def test_a_place_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file", encoding="utf-8")
    with pytest.raises(StoreUnavailable, match="cannot use the data directory"):
        await LocalStore(tmp_path / "data").open()
