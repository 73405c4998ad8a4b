"""A supervisor, its surroundings, and module programs that misbehave on demand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from host.log.ring import LogRing
from host.processes.supervisor import (
    Hooks,
    ModuleProcessState,
    ModuleStatus,
    RestartPolicy,
    StopLadder,
    Supervisor,
    Timing,
)
from host.settings import ModuleSettings, ServerSettings

RUNS = "import time\nprint('ready', flush=True)\nwhile True: time.sleep(60)\n"
CRASHES = "import sys\nprint('the cause', file=sys.stderr)\nsys.exit(3)\n"
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + RUNS
QUITS = """
import os, time
print("ready", flush=True)
while not os.path.exists("quit"): time.sleep(0.005)
"""
CRASHES_TWICE = (
    """
import sys
with open("launches", "a") as file: file.write("x")
if len(open("launches").read()) <= 2: sys.exit(1)
"""
    + RUNS
)
GRANDCHILD = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print("grandchild", child.pid, flush=True)
time.sleep(60)
"""
FLOODS = "import sys\nwhile True: print('flood ' * 20, file=sys.stderr)\n"
SHOWS_ENVIRONMENT = f"import json, os\nprint(json.dumps(dict(os.environ)), flush=True)\n{RUNS}"

QUICK = StopLadder(grace_s=0.3, terminate_s=0.3, kill_s=5.0)


@dataclass
class World:
    """A supervisor, its surroundings, and what they were told."""

    folder: Path
    log: LogRing = field(default_factory=LogRing)
    pauses: list[float] = field(default_factory=list)
    exits: list[tuple[str, str, str]] = field(default_factory=list)
    states: list[ModuleProcessState] = field(default_factory=list)
    made: list[Supervisor] = field(default_factory=list)

    def module(self, code: str, module_id: str = "M", **launch: Any) -> ModuleSettings:
        folder = self.folder / module_id
        folder.mkdir(exist_ok=True)
        (folder / "child.py").write_text(code)
        return ModuleSettings.model_validate(
            {
                "id": module_id,
                "path": folder,
                "LaunchSettings": {"FilePath": "child.py", **launch},
            }
        )

    def supervisor(
        self,
        *modules: ModuleSettings,
        restarts: RestartPolicy = RestartPolicy(),  # noqa: B008
        ladder: StopLadder = QUICK,
        clock: Callable[[], float] = time.monotonic,
        **options: Any,
    ) -> Supervisor:
        hooks = options.pop("hooks", Hooks(on_exit=self.on_exit, on_state=self.on_state))
        timing = Timing(restarts, ladder, clock, options.pop("sleep", self.sleep))
        timing = replace(timing, **options.pop("timing", {}))
        server = ServerSettings.model_validate({"root_path": self.folder})
        supervisor = Supervisor(modules, server, self.log, hooks, timing=timing, **options)
        self.made.append(supervisor)
        return supervisor

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def on_exit(self, module_id: str, instance_id: str, reason: str) -> None:
        self.exits.append((module_id, instance_id, reason))

    def on_state(self, module_id: str, state: ModuleProcessState) -> None:
        self.states.append(state)

    def entries(self) -> list[str]:
        return [item.entry for item in self.log.list(0, 10_000)]

    async def entry(self, start: str) -> str:
        """Wait for a log entry that starts so."""

        def found() -> list[str]:
            return [entry for entry in self.entries() if entry.startswith(start)]

        await self.until(lambda: bool(found()))
        return found()[0]

    async def until(self, is_true: Callable[[], bool], timeout_s: float = 30) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_true():
            assert time.monotonic() < deadline, "\n".join(self.entries())
            await asyncio.sleep(0.005)

    async def status(self, supervisor: Supervisor, status: ModuleStatus) -> ModuleProcessState:
        await self.until(lambda: supervisor.state("M").status is status)
        return supervisor.state("M")


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
