"""What modules say: those of the running host, and the programs that look for them.

A module's program is `InstallOptions.Doctor` in its settings. It is run as the module would be, and
prints a JSON object a line for each thing that it has looked at:
`{"check": NAME, "ok": BOOL, "finding": TEXT, "remedy": TEXT}`.

Invariant: however a program ends, what it had found stands, and that it ended so is said too.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from host.cli.client import HostError
from host.cli.doctor.checks import Check, bad, good
from host.cli.status import module_statuses
from host.cli.whereabouts import token_for
from host.processes.exits import describe_exit, free_memory_bytes
from host.processes.process import LaunchError, LaunchSpec, launch_process
from host.settings import ModuleSettings, ServerSettings, module_environment, module_python

PROGRAM_LIMIT_S = 240.0  # a proof of the build may take minutes on a slow machine

_IS_WELL = {"Started", "Starting", "NotStarted", "Stopping", "Stopped"}


async def check_running(url: str, logs: Path) -> list[Check]:
    """The modules of the host at `url`, whose logs are in that folder."""
    try:
        statuses = await module_statuses(url, token_for(url, logs.parent))
        return [_check_state(one, logs) for one in statuses]
    except HostError as error:
        return [bad("host", str(error), "end it and start it again: llamachat serve")]


def _check_state(status: dict[str, Any], logs: Path) -> Check:
    module, state, reason = status["moduleId"], status["status"], status.get("reason")
    safe = status.get("safeMode")
    if safe:
        finding = f"{state} in safe mode, without {_listed(safe['gaveUp'])}: {safe['reason']}"
        return bad("running", finding, str(safe["remedy"]), module)
    if state in _IS_WELL and not reason:
        return good("running", state, module)
    remedy = f"mend what is bad below; {logs / f'{module}.log'} has its last words"
    return bad("running", f"{state}: {reason}" if reason else state, remedy, module)


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


async def check_module(
    module: ModuleSettings, server: ServerSettings, is_running: bool, limit_s: float
) -> list[Check]:
    """What the module's own program finds; nothing where it has none.

    Without the module's own interpreter the host's runs it: it still finds why there is none.
    """
    program = module.install_options.doctor
    if program is None:
        return []
    environment = module_environment(module, server, "", os.environ)
    environment["CPAI_MODULE_IS_RUNNING"] = str(is_running).lower()
    command = [module_python(module), str(module.path / program), "--json"]
    try:
        return await _run(command, module, environment, limit_s)
    except LaunchError as error:
        lost = bad("environment", str(error), "make it anew: llamachat setup", module.id)
    command[0] = sys.executable
    return [lost, *await _run(command, module, environment, limit_s)]


async def _run(
    command: list[str], module: ModuleSettings, environment: dict[str, str], limit_s: float
) -> list[Check]:
    """Run the program to its end. Raises LaunchError."""
    output = _Output()
    child = await launch_process(LaunchSpec(command, module.path, environment), output.add)
    try:
        code = await asyncio.wait_for(child.wait(), limit_s)
        problem = "" if code in (0, 1) else describe_exit(code, output.others, free_memory_bytes())
    except asyncio.TimeoutError:
        problem = f"it has not ended within {limit_s:g} s, and was ended"
    finally:
        await child.close()
    found = list(output.checks(module.id))
    if not found and not problem:
        problem = "; ".join(["it has found nothing", *output.others[-3:]])
    if problem:
        finding = f"{Path(command[1]).name}: {problem}"
        found.append(bad("doctor", finding, _by_hand(command), module.id))
    return found


def _by_hand(command: list[str]) -> str:
    return f"run it by hand, and look at what it prints: {' '.join(command[:-1])}"


class _Output:
    """What a program prints: checks, and lines that are none."""

    def __init__(self) -> None:
        self._text = b""

    def add(self, _fd: int, data: bytes) -> None:
        self._text += data

    @property
    def others(self) -> list[str]:
        return [line for line in self._lines() if _parsed(line, "") is None]

    def checks(self, module: str) -> Iterator[Check]:
        for line in self._lines():
            check = _parsed(line, module)
            if check is not None:
                yield check

    def _lines(self) -> list[str]:
        return self._text.decode("utf-8", errors="replace").splitlines()


def _parsed(line: str, module: str) -> Check | None:
    try:
        said = json.loads(line)
        name, finding = str(said["check"]), str(said["finding"])
        return Check(name, said["ok"] is True, finding, str(said.get("remedy", "")), module)
    except (ValueError, TypeError, KeyError):
        return None
