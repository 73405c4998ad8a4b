"""All module processes of this host.

Invariant: when `stop_all` returns, no process that was launched here is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from host.logs import LogRing
from host.module_process import ModuleProcess
from host.process import Launcher, launch_process
from host.settings import BrokenModule, ModuleSettings, ServerSettings
from host.supervision import (
    Hooks,
    ModuleProcessState,
    ModuleStatus,
    RestartPolicy,
    StopLadder,
    Surroundings,
    Timing,
)


class UnknownModule(LookupError):
    """No module of that id is here."""

    def __init__(self, module_id: str, known: Iterable[str]) -> None:
        names = ", ".join(sorted(known)) or "none"
        super().__init__(f"no module {module_id!r} here (there are: {names})")


class HostIsStopping(Exception):
    """Nothing can be started any more."""

    def __init__(self) -> None:
        super().__init__("the host is stopping: no module can be started")


_NO_HOOKS = Hooks()
_USUAL_TIMING = Timing()


class Supervisor:
    """Starts, stops and restarts modules by id; ids are taken in any letter case."""

    def __init__(
        self,
        modules: Iterable[ModuleSettings],
        server: ServerSettings,
        log: LogRing,
        hooks: Hooks = _NO_HOOKS,
        *,
        broken: Iterable[BrokenModule] = (),
        timing: Timing = _USUAL_TIMING,
        launcher: Launcher = launch_process,
        base_env: Mapping[str, str] | None = None,
    ) -> None:
        around = Surroundings(server, log, hooks, timing, launcher, base_env)
        self._sleep = timing.sleep
        self._processes = {module.id.lower(): ModuleProcess(module, around) for module in modules}
        self._broken = {module.id.lower(): module for module in broken}
        self._is_closing = False

    async def start_all(self) -> None:
        """Start the modules with AutoStart, in order, each after its predecessor's pause."""
        for process in list(self._processes.values()):
            launch = process.module.launch
            if not launch.auto_start:
                continue
            if self._is_closing:
                return
            await process.start()
            if launch.post_start_pause_s:
                await self._sleep(launch.post_start_pause_s)

    async def start(self, module_id: str) -> None:
        """Start a module; no change if it runs. Raises UnknownModule, HostIsStopping.

        One with broken settings stays FailedStart: its settings are read when the host starts.
        """
        self._refuse_when_closing()
        if module_id.lower() not in self._broken:
            await self._process(module_id).start()

    async def stop(self, module_id: str) -> None:
        """Stop a module and all it started. Raises UnknownModule."""
        if module_id.lower() not in self._broken:
            await self._process(module_id).stop()

    async def restart(self, module_id: str) -> None:
        """Stop, then start. Raises as those do."""
        self._refuse_when_closing()
        await self.stop(module_id)
        await self.start(module_id)

    async def stop_all(self) -> None:
        """Stop everything, side by side; nothing can be started afterwards."""
        self._is_closing = True
        await asyncio.gather(*(process.stop() for process in self._processes.values()))

    def state(self, module_id: str) -> ModuleProcessState:
        """The state of a module's process; Unknown for an id that is not here."""
        key = module_id.lower()
        if key in self._processes:
            return self._processes[key].state
        if key in self._broken:
            return _broken_state(self._broken[key])
        return ModuleProcessState(ModuleStatus.UNKNOWN, reason="no such module here")

    def states(self) -> dict[str, ModuleProcessState]:
        """The state of each module's process, broken modules included, by module id."""
        states = {process.module.id: process.state for process in self._processes.values()}
        for module in self._broken.values():
            states[module.id] = _broken_state(module)
        return states

    def mark_ready(self, module_id: str, instance_id: str | None) -> None:
        """A module has polled, or shaken hands. Others than the launched instance change nothing.

        `instance_id` None (modules that speak part 1 do not name theirs) is whichever runs.
        """
        process = self._processes.get(module_id.lower())
        if process is not None:
            process.mark_ready(instance_id)

    def mark_seen(self, module_id: str, instance_id: str | None) -> None:
        """Any other sign of life of an instance."""
        process = self._processes.get(module_id.lower())
        if process is not None:
            process.mark_seen(instance_id)

    def _process(self, module_id: str) -> ModuleProcess:
        process = self._processes.get(module_id.lower())
        if process is None:
            known = [item.module.id for item in self._processes.values()]
            raise UnknownModule(module_id, known)
        return process

    def _refuse_when_closing(self) -> None:
        if self._is_closing:
            raise HostIsStopping


def _broken_state(module: BrokenModule) -> ModuleProcessState:
    return ModuleProcessState(ModuleStatus.FAILED_START, reason=f"wrong settings: {module.reason}")


__all__ = [
    "Hooks",
    "HostIsStopping",
    "ModuleProcessState",
    "ModuleStatus",
    "RestartPolicy",
    "StopLadder",
    "Supervisor",
    "Timing",
    "UnknownModule",
]
