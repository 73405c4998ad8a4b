"""A disk of 8 MB that fills up and is emptied while clients work: what begins, ends."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from clients import Crowd, Report, crowd
from hosts import SEED, UP_WITHIN_S, WATCHFUL_HOST, HostProcess, until_ready, write_root


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, as the host's data directory."""
    if shutil.which("mount") is None:
        pytest.skip("there is no mount")
    folder = tmp_path / "data"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting needs more rights")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all the space that is left."""
    file = disk / "filler"
    with suppress(OSError), file.open("ab", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)
    return file


@pytest.mark.parametrize(
    ("clients", "fills"),
    [(20, 1), pytest.param(200, 10, marks=[pytest.mark.slow, pytest.mark.timeout(600)])],
)
async def test_the_disk_fills_up(
    tmp_path: Path, disk: Path, report: Report, clients: int, fills: int
) -> None:
    """Also while the host is killed and started: it starts on a full disk."""
    begun_s = time.monotonic()
    write_root(tmp_path, instances=2)
    host = HostProcess(tmp_path, WATCHFUL_HOST)
    await host.start()
    try:
        await until_ready(host, 2)
        async with crowd([host.url], SEED, may_lose_tail=True) as run:
            await asyncio.gather(run.run(clients), _fill(disk, host, run, fills))
            await run.check_again()
            stats, figures = await run.stats(), run.figures()
    finally:
        host.stop()
    del figures["failed retries"]  # starts are refused while the disk is full: they are many
    report({"seed": SEED, "fills": fills, **figures, "s": round(time.monotonic() - begun_s)})
    assert figures["failed requests"] and figures["completed"]
    assert [stats[one] for one in ("waiting", "running")] == [0, 0]


async def _fill(disk: Path, host: HostProcess, run: Crowd, fills: int) -> None:
    chance = random.Random(SEED)
    for _ in range(fills):
        await asyncio.sleep(chance.uniform(1, 2))
        filler = fill(disk)
        refused = run.failed_requests
        await _until(lambda told=refused: run.failed_requests > told)  # type: ignore[misc]
        host.kill()
        fill(disk)
        await host.start()
        await asyncio.sleep(chance.uniform(0.5, 1))
        filler.unlink()
        done = len(run.watches)
        await _until(lambda begun=done: len(run.watches) > begun)  # type: ignore[misc]
    run.is_over = True


async def _until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + UP_WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline_s, "it has not come about"
        await asyncio.sleep(0.05)
