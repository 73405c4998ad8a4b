"""However a host comes to its end, it leaves no process: real ones, of the most stubborn kind."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest
from puppet import Caller
from world import is_alive

if sys.platform == "win32":
    pytest.skip("about signals and terminals", allow_module_level=True)

import pty

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "minimal_long_process"
BAD = Path(__file__).with_name("bad_module.py")

RUN_IN_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "host", *sys.argv[1:]])
"""


class Served:
    """`llamachat serve` with a module that ignores SIGTERM and has a child, and a good one."""

    def __init__(self, root: Path, process: asyncio.subprocess.Process, terminal: int) -> None:
        self.root, self.process, self.terminal = root, process, terminal
        self.family: list[psutil.Process] = []

    @classmethod
    async def launch(cls, root: Path) -> Served:
        write(root)
        terminal, end = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", RUN_IN_TERMINAL, "serve", "--root", str(root)),
            cwd=ROOT,
            stdin=end,
            stdout=asyncio.subprocess.PIPE,
            stderr=end,
        )
        os.close(end)
        served = cls(root, process, terminal)
        await served._until_started()
        return served

    async def _until_started(self) -> None:
        asyncio.get_running_loop().add_reader(self.terminal, os.read, self.terminal, 65536)
        assert self.process.stdout is not None
        lines = [(await self.process.stdout.readline()).decode() for _ in range(5)]
        url = next(line.split()[1] for line in lines if "Explorer:" in line).rstrip("/")
        async with aiohttp.ClientSession() as session:
            deadline_s = time.monotonic() + 30
            started: set[str] = set()
            while started != {"Started"}:
                assert time.monotonic() < deadline_s, started
                _, body = await Caller(session, url).call("GET", "/v1/module/list/status")
                started = {one["status"] for one in body["statuses"]}
        self.family = psutil.Process(self.process.pid).children(recursive=True)
        assert len(self.family) == 4, "two modules, a module's child, and the guard"

    def close_terminal(self) -> None:
        if self.terminal >= 0:
            asyncio.get_running_loop().remove_reader(self.terminal)
            os.close(self.terminal)
            self.terminal = -1

    def left(self) -> list[int]:
        return [one.pid for one in self.family if is_alive(one.pid)]

    async def end(self) -> None:
        self.close_terminal()
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)


def write(root: Path) -> None:
    shutil.copytree(EXAMPLE, root / "modules" / EXAMPLE.name)
    folder = root / "modules" / "Bad"
    folder.mkdir()
    shutil.copy(BAD, folder)
    launch = {"FilePath": BAD.name}
    module = {"LaunchSettings": launch, "EnvironmentVariables": {"HOW": "ignores_terminate"}}
    settings = json.dumps({"Modules": {"Bad": module}})
    (folder / "modulesettings.json").write_text(settings, encoding="utf-8")
    own = json.dumps({"Server": {"Port": 0, "DataDir": "data"}})
    (root / "modulesettings.json").write_text(own, encoding="utf-8")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    made = await Served.launch(tmp_path)
    yield made
    await made.end()


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[list[Served]]:
    made = await asyncio.gather(*(Served.launch(tmp_path / name) for name in "abc"))
    yield made
    await asyncio.gather(*(one.end() for one in made))


async def test_it_ends_within_five_seconds(three: list[Served]) -> None:
    """In each of three ways, tried side by side."""
    ways = ("Ctrl-C", "SIGTERM", "closed terminal")
    await asyncio.gather(*map(ends_within_five_seconds, three, ways))


async def ends_within_five_seconds(served: Served, way: str) -> None:
    begin_s = time.monotonic()
    if way == "Ctrl-C":
        os.write(served.terminal, b"\x03")  # as the terminal sends it: to the whole group
    elif way == "SIGTERM":
        served.process.terminate()
    else:
        served.close_terminal()
    await asyncio.wait_for(served.process.wait(), 20)
    took_s = time.monotonic() - begin_s
    assert served.left() == []
    assert took_s < 5
    assert served.process.returncode == 0
    log = (served.root / "data" / "logs" / "Bad.log").read_text(encoding="utf-8")
    assert "did not end when asked to: killed" in log
    assert "launched, pid" in (served.root / "data" / "logs" / "host.log").read_text("utf-8")


async def test_nothing_stays_when_it_is_killed(served: Served) -> None:
    served.process.kill()
    await served.process.wait()
    deadline_s = time.monotonic() + 10
    while served.left():
        assert time.monotonic() < deadline_s, served.left()
        await asyncio.sleep(0.02)
