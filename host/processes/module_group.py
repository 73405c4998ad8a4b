"""The processes of one module: as many as its settings ask for, each supervised by itself.

Invariant: the module's own state is that of its best instance, so that the module counts as running
as long as one of them does.
"""

from __future__ import annotations

import asyncio
import math
import os
from dataclasses import replace

from host.processes.environments import instance_environments
from host.processes.liveness import Sign
from host.processes.module_process import ModuleProcess
from host.processes.supervision import ModuleProcessState, ModuleStatus, Surroundings
from host.settings import ModuleSettings

_BEST_FIRST = (
    ModuleStatus.STARTED,
    ModuleStatus.STARTING,
    ModuleStatus.RESTARTING,
    ModuleStatus.STOPPING,
    ModuleStatus.CRASHED,
    ModuleStatus.FAILED_START,
    ModuleStatus.STOPPED,
    ModuleStatus.NOT_STARTED,
    ModuleStatus.UNKNOWN,
)


class ModuleGroup:
    """All instances of a module. How many there are is settled by the first start."""

    def __init__(self, module: ModuleSettings, around: Surroundings) -> None:
        self.module = module
        self._around = around
        self._settling = asyncio.Lock()
        self._processes: list[ModuleProcess] = []
        self._has_warned = False

    async def start(self) -> None:
        """Launch every instance that does not run; returns when all are launched or cannot be."""
        async with self._settling:
            if not self._processes:
                self._processes = await self._settled()
        await asyncio.gather(*(process.start() for process in self._processes))

    async def stop(self) -> None:
        """End every instance and all it started; returns when they are gone.

        A stop that has begun goes on also when whoever waits for it does not any more.
        """
        await asyncio.shield(asyncio.gather(*(process.stop() for process in self._processes)))

    @property
    def state(self) -> ModuleProcessState:
        """The best of the instances' states, with the restarts of all."""
        states = self.states
        if not states:
            return ModuleProcessState(ModuleStatus.NOT_STARTED)
        best = min(states, key=_rank)
        return replace(best, restarts=sum(state.restarts for state in states))

    @property
    def states(self) -> list[ModuleProcessState]:
        """Each instance's state."""
        return [process.state for process in self._processes]

    def mark_ready(self, instance_id: str | None) -> None:
        """See Supervisor.mark_ready."""
        if (process := self._process(instance_id)) is not None:
            process.mark_ready()

    def mark_seen(self, instance_id: str | None, sign: Sign) -> None:
        """See Supervisor.mark_seen."""
        if (process := self._process(instance_id)) is not None:
            process.mark_seen(sign)
            if sign.protocol == 1 and len(self._processes) > 1:
                self._warn_of_nameless_instances()

    def _warn_of_nameless_instances(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            self._around.log.add(
                "LaunchSettings.Instances: this module is written for an SDK whose modules do not "
                "say which instance they are, so that several get in each other's way: use 1",
                level="warning",
                category=self.module.id,
                label="supervisor",
            )

    def _process(self, instance_id: str | None) -> ModuleProcess | None:
        """The instance of that id; with None the first that runs."""
        running = (one for one in self._processes if one.state.instance_id is not None)
        return next(
            (one for one in running if instance_id in (None, one.state.instance_id)),
            None,
        )

    async def _settled(self) -> list[ModuleProcess]:
        base = os.environ if self._around.base_env is None else self._around.base_env
        environments = await instance_environments(self.module.launch.instances, base)
        if len(environments) == 1:
            return [ModuleProcess(self.module, self._around, environments[0])]
        return [
            ModuleProcess(self.module, self._around, environment, f" #{number}")
            for number, environment in enumerate(environments, 1)
        ]


def _rank(state: ModuleProcessState) -> tuple[int, float]:
    """The best is the least; of those that were given up, the one that is tried again first."""
    next_try_s = math.inf if state.next_try_s is None else state.next_try_s
    return _BEST_FIRST.index(state.status), next_try_s
