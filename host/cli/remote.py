"""`llamachat module`: a module of this installation, run for a host on another machine.

The module finds its way to the host by itself, and goes on when that is away for a while. What is
seen here is its process, and the status that it writes into a file every two seconds.

Invariant: when `run` returns, nothing that was launched here is left.
"""

from __future__ import annotations

import asyncio
import json
import platform
import re
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from host.log.ring import LogRing
from host.processes.liveness import Sign
from host.processes.supervision import ModuleProcessState, ModuleStatus, StopLadder, Timing
from host.processes.supervisor import Supervisor
from host.settings import ModuleSettings, ServerSettings

LOOK_EVERY_S = 0.5
STOP_LADDER = StopLadder(grace_s=0, terminate_s=3.5, kill_s=0.4)  # it quits on SIGTERM
_ENDED = {ModuleStatus.CRASHED, ModuleStatus.FAILED_START}


class ModuleGaveUp(Exception):
    """No instance of the module runs any more; the message says why."""


@dataclass(frozen=True)
class RemoteHost:
    """Where the hosts are, and what they let the module in for. Several serve one store."""

    urls: Sequence[str]
    token: str = ""

    def environment(self) -> dict[str, str]:
        """What the module's process is told."""
        first, *more = (_complete(url) for url in self.urls)
        env = {"CPAI_HOST_URL": first, "CPAI_HOST_URLS": " ".join(more)}
        env["CPAI_STORE_SHARED"] = "false"  # it ends with this process, whatever the store is
        return env | ({"CPAI_API_TOKEN": self.token} if self.token else {})


class RemoteModule:
    """Launches the module's instances, restarts them, ends them."""

    def __init__(
        self,
        module: ModuleSettings,
        server: ServerSettings,
        host: RemoteHost,
        log: LogRing,
        *,
        timing: Timing | None = None,
        base_env: Mapping[str, str] | None = None,
    ) -> None:
        self._module = module
        self._server = server
        self._host = host
        self._log = log
        self._timing = replace(timing or Timing(), ladder=STOP_LADDER)
        self._base_env = base_env
        self._seen: dict[str, _Seen] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set. Raises ModuleGaveUp when no instance is launched again."""
        with tempfile.TemporaryDirectory(prefix="llamachat-module-") as folder:
            supervisor = self._supervisor(Path(folder))
            try:
                await supervisor.start(self._module.id)
                await self._watch(supervisor, Path(folder), stop)
            finally:
                await supervisor.stop_all()

    def _supervisor(self, folder: Path) -> Supervisor:
        environment = self._host.environment()
        return Supervisor(
            [self._module],
            self._server,
            self._log,
            timing=self._timing,
            base_env=self._base_env,
            new_id=new_id,
            more_env=lambda instance_id: (
                environment | {"CPAI_MODULE_STATUS_FILE": str(_file(folder, instance_id))}
            ),
        )

    async def _watch(self, supervisor: Supervisor, folder: Path, stop: asyncio.Event) -> None:
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stopping.done():
                states = supervisor.instances(self._module.id)
                if states and all(state.status in _ENDED for state in states):
                    said = f"module {self._module.id}: {states[0].reason}"
                    raise ModuleGaveUp(f"{said}. `llamachat doctor` says more")
                for state in states:
                    self._look(supervisor, folder, state)
                await asyncio.wait({stopping}, timeout=LOOK_EVERY_S)
        finally:
            stopping.cancel()

    def _look(self, supervisor: Supervisor, folder: Path, state: ModuleProcessState) -> None:
        """Take in what an instance has written since the last look."""
        instance_id = state.instance_id
        if instance_id is None:
            return
        found = _Seen.read(_file(folder, instance_id))
        before = self._seen.get(instance_id)
        if found is None or found == before:
            return
        self._seen[instance_id] = found
        supervisor.mark_seen(self._module.id, instance_id, found.sign)
        if found.sign.is_ready:
            supervisor.mark_ready(self._module.id, instance_id)
        if before is None or found.words != before.words:
            self._log.add(f"{instance_id} is {found.words}", category=self._module.id)


@dataclass(frozen=True)
class _Seen:
    """One status of an instance, and when it was written."""

    written_ns: int
    sign: Sign
    words: str

    @staticmethod
    def read(file: Path) -> _Seen | None:
        """None while there is nothing to be read."""
        try:
            written_ns = file.stat().st_mtime_ns
            status = json.loads(file.read_bytes())
        except (OSError, ValueError):
            return None
        return _Seen(written_ns, _sign(status), _words(status))


def new_id() -> str:
    """An id that names this machine, for whoever looks at the host's list of instances."""
    machine = re.sub(r"[^A-Za-z0-9.-]+", "-", platform.node()) or "machine"
    return f"{machine[:60]}-{secrets.token_hex(4)}"


def _sign(status: dict[str, Any]) -> Sign:
    state = str(status.get("state"))
    return Sign(
        is_ready=state in ("ready", "failed"),
        state=state,
        busy=int(status.get("busy") or 0),
        steps=int(status.get("steps") or 0),
    )


def _words(status: dict[str, Any]) -> str:
    error = status.get("error")
    return f"{status.get('state')}: {error}" if error else str(status.get("state"))


def _file(folder: Path, instance_id: str) -> Path:
    return folder / f"{instance_id}.json"


def _complete(url: str) -> str:
    """The address with what people leave out."""
    return (url if "://" in url else f"http://{url}").rstrip("/")
