"""Hosts and modules as processes of their own, to be killed and started again."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil

REPO = Path(__file__).resolve().parents[2]
MODULE = "minimal_long_process"
SEED = int(os.environ.get("FAULTS_SEED", "1"))  # what is left to chance is the same for the same
PATIENT_HOST = (str(Path(__file__).with_name("patient_host.py")),)
JUMPING_HOST = (str(Path(__file__).with_name("jumping_host.py")),)
WATCHFUL_HOST = (str(Path(__file__).with_name("watchful_host.py")),)
USUAL_HOST = ("-m", "host", "serve")
UP_WITHIN_S = 60.0
GONE_WITHIN_S = 10.0


def write_root(
    root: Path,
    store: str = "local",
    *,
    launches: bool = True,
    instances: int = 1,
    slots: int = 16,
    limits: dict[str, Any] | None = None,
) -> None:
    """A deployment of its own with the example module in it, which its host launches or not.

    `limits` are more of the module's LaunchSettings."""
    shutil.copytree(REPO / "examples" / MODULE, root / "modules" / MODULE)
    launch = {
        "AutoStart": launches,
        "Instances": instances,
        "Parallelism": slots,
        "MaxQueueLength": 100_000,
        **(limits or {}),
    }
    settings: dict[str, Any] = {
        "Server": {"Port": free_port(), "DataDir": "data", "Store": store},
        "Modules": {MODULE: {"LaunchSettings": launch}},
    }
    (root / "modulesettings.json").write_text(json.dumps(settings), encoding="utf-8")


def free_port() -> int:
    """A port to come back to: below those that the system gives to outgoing connections, one of
    which could otherwise take it while its host is down."""
    while True:
        port = random.SystemRandom().randrange(20_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class HostProcess:
    """A host over the deployment in `root`, always on the same port with the same data."""

    def __init__(self, root: Path, program: tuple[str, ...] = USUAL_HOST) -> None:
        settings = json.loads((root / "modulesettings.json").read_text(encoding="utf-8"))
        self.root = root
        self.url = f"http://127.0.0.1:{settings['Server']['Port']}"
        self._command = [sys.executable, *program, "--root", str(root)]
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Returns when it answers."""
        self._launch()
        async with aiohttp.ClientSession() as session:
            await self._until_up(session)

    def _launch(self) -> None:
        with open(self.root / "host.log", "ab") as log:
            self._process = subprocess.Popen(self._command, cwd=REPO, stdout=log, stderr=log)

    async def _until_up(self, session: aiohttp.ClientSession) -> None:
        deadline_s = time.monotonic() + UP_WITHIN_S
        while True:
            assert self._process is not None and self._process.poll() is None, self.said()
            assert time.monotonic() < deadline_s, self.said()
            try:
                async with session.get(f"{self.url}/v1/status/ping") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.02)

    def kill(self) -> None:
        """As the kernel would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As an operator would."""
        self._end(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        """Tell the process something."""
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(UP_WITHIN_S)
            self._process = None

    def module_pids(self) -> list[int]:
        """The module processes that it has launched and that live."""
        assert self._process is not None
        return [
            one.pid for one in psutil.Process(self._process.pid).children() if self._is_own(one)
        ]

    async def until_no_module_is_left(self) -> None:
        """Nothing that any of its lives has launched outlives it."""
        deadline_s = time.monotonic() + GONE_WITHIN_S
        while left := [one.pid for one in self.modules_left()]:
            assert time.monotonic() < deadline_s, f"module processes are left: {left}"
            await asyncio.sleep(0.05)

    def modules_left(self) -> list[psutil.Process]:
        """Module processes that any of its lives has launched."""
        return [one for one in psutil.process_iter() if self._is_own(one)]

    def _is_own(self, process: psutil.Process) -> bool:
        try:
            is_dead = process.status() == psutil.STATUS_ZOMBIE
            return not is_dead and any(
                one.startswith(str(self.root / "modules")) for one in process.cmdline()
            )
        except psutil.NoSuchProcess:
            return False

    def said(self) -> str:
        """The end of what it wrote."""
        return (self.root / "host.log").read_text(errors="replace")[-4000:]


@contextmanager
def remote_modules(root: Path, urls: list[str], instances: int) -> Iterator[None]:
    """`llamachat module`: the module of `root`, for all these hosts."""
    hosts = [option for url in urls for option in ("--host", url)]
    command = [sys.executable, "-m", "host", "module", MODULE, *hosts]
    command += ["--instances", str(instances), "--root", str(root)]
    with open(root / "modules.log", "ab") as log:
        process = subprocess.Popen(command, cwd=REPO, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(UP_WITHIN_S)


async def until_ready(host: HostProcess, count: int) -> None:
    """That many instances of the module take commands, as the host sees it."""
    deadline_s = time.monotonic() + UP_WITHIN_S
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{host.url}/v1/module/list/status") as response:
                statuses = (await response.json())["statuses"]
            (found,) = (one for one in statuses if one["moduleId"] == MODULE)
            ready = [one for one in found["instances"] if one.get("state") == "ready"]
            if len(ready) >= count:
                return
            assert time.monotonic() < deadline_s, found
            await asyncio.sleep(0.05)


def kill_one(pids: list[int], chance: random.Random) -> bool:
    """Kill one of these; False when there was none."""
    if not pids:
        return False
    try:
        os.kill(chance.choice(sorted(pids)), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
