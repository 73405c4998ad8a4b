"""All module processes of this host.

Invariant: when `stop_all` returns, no process that was launched here is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from host.log.ring import LogRing
from host.processes.launched_id import new_launched_id
from host.processes.liveness import Sign
from host.processes.module_group import ModuleGroup
from host.processes.process import Launcher, launch_process
from host.processes.supervision import (
    Hooks,
    ModuleProcessState,
    ModuleStatus,
    RestartPolicy,
    StopLadder,
    Surroundings,
    Timing,
    no_env,
)
from host.settings import BrokenModule, ModuleSettings, ServerSettings


class UnknownModule(LookupError):
    """No module of that id is here."""

    def __init__(self, module_id: str, known: Iterable[str]) -> None:
        names = ", ".join(sorted(known)) or "none"
        super().__init__(f"no module {module_id!r} here (there are: {names})")


class HostIsStopping(Exception):
    """Nothing can be started any more."""

    def __init__(self) -> None:
        super().__init__("the host is stopping: no module can be started")


_BETWEEN = {ModuleStatus.STOPPING, ModuleStatus.STOPPED, ModuleStatus.NOT_STARTED}
_NO_HOOKS = Hooks()
_USUAL_TIMING = Timing()
_USUAL_SIGN = Sign()


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
        new_id: Callable[[], str] = new_launched_id,
        more_env: Callable[[str], Mapping[str, str]] = no_env,
    ) -> None:
        around = Surroundings(server, log, hooks, timing, launcher, base_env, new_id, more_env)
        self._sleep = timing.sleep
        self.now_s = timing.clock
        self._guard = around.guard
        self._groups = {module.id.lower(): ModuleGroup(module, around) for module in modules}
        self._broken = {module.id.lower(): module for module in broken}
        self._restarts: dict[str, asyncio.Task[None]] = {}
        self._is_closing = False

    async def start_all(self) -> None:
        """Start the modules with AutoStart, in order, each after its predecessor's pause."""
        for group in list(self._groups.values()):
            launch = group.module.launch
            if not launch.auto_start:
                continue
            if self._is_closing:
                return
            await group.start()
            if launch.post_start_pause_s:
                await self._sleep(launch.post_start_pause_s)

    async def start(self, module_id: str) -> None:
        """Start a module; no change if it runs. Raises UnknownModule, HostIsStopping.

        One with broken settings stays FailedStart: its settings are read when the host starts.
        """
        self._refuse_when_closing()
        if module_id.lower() not in self._broken:
            await self._group(module_id).start()

    async def stop(self, module_id: str) -> None:
        """Stop a module and all it started. Raises UnknownModule."""
        if module_id.lower() not in self._broken:
            await self._group(module_id).stop()

    async def restart(self, module_id: str) -> None:
        """Stop, then start. Raises as those do. It goes on when whoever asked has left; a second
        one meanwhile waits for the first. What waits for the module is kept."""
        self._refuse_when_closing()
        key = module_id.lower()
        if key not in self._restarts:
            task = asyncio.create_task(self._stop_and_start(module_id))
            self._restarts[key] = task
            task.add_done_callback(lambda _: self._restarts.pop(key))
        await asyncio.shield(self._restarts[key])

    async def _stop_and_start(self, module_id: str) -> None:
        await self.stop(module_id)
        await self.start(module_id)

    async def stop_all(self) -> None:
        """Stop everything, side by side; nothing can be started afterwards."""
        self._is_closing = True
        await asyncio.gather(*(group.stop() for group in self._groups.values()))
        await asyncio.gather(*self._restarts.values(), return_exceptions=True)
        self._guard.close()

    def state(self, module_id: str) -> ModuleProcessState:
        """The state of a module, which is its best instance's; Unknown for an id not here."""
        key = module_id.lower()
        if key in self._groups:
            return self._state(key)
        if key in self._broken:
            return _broken_state(self._broken[key])
        return ModuleProcessState(ModuleStatus.UNKNOWN, reason="no such module here")

    def states(self) -> dict[str, ModuleProcessState]:
        """The state of each module, broken ones included, by module id."""
        states = {group.module.id: self._state(key) for key, group in self._groups.items()}
        for module in self._broken.values():
            states[module.id] = _broken_state(module)
        return states

    def _state(self, key: str) -> ModuleProcessState:
        """A module that is stopped only to be started again takes commands all the while."""
        state = self._groups[key].state
        is_between = key in self._restarts and state.status in _BETWEEN
        return replace(state, status=ModuleStatus.RESTARTING) if is_between else state

    def instances(self, module_id: str) -> list[ModuleProcessState]:
        """The state of each instance that is, or was, launched here."""
        group = self._groups.get(module_id.lower())
        return group.states if group is not None else []

    def mark_ready(self, module_id: str, instance_id: str | None) -> None:
        """An instance takes commands. Others than those launched here change nothing.

        `instance_id` None (modules that speak part 1 do not name theirs) is whichever runs.
        """
        group = self._groups.get(module_id.lower())
        if group is not None:
            group.mark_ready(instance_id)

    def mark_seen(self, module_id: str, instance_id: str | None, sign: Sign = _USUAL_SIGN) -> None:
        """Any sign of life of an instance, and what it tells of its work."""
        group = self._groups.get(module_id.lower())
        if group is not None:
            group.mark_seen(instance_id, sign)

    def watches_itself(self, module_id: str, instance_id: str) -> None:
        """An instance that is to outlive this host's death: it finishes its work for others."""
        for state in self.instances(module_id):
            if state.instance_id == instance_id and state.pid is not None:
                self._guard.forget(state.pid)

    def _group(self, module_id: str) -> ModuleGroup:
        group = self._groups.get(module_id.lower())
        if group is None:
            known = [item.module.id for item in self._groups.values()]
            raise UnknownModule(module_id, known)
        return group

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
