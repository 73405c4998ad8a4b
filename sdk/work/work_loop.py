"""Fetches work from a protocol-2 host.

Invariant: a command is claimed only when a slot is free for it, so what the host shows as queued is
queued and what it shows as running runs.
"""

from __future__ import annotations

import asyncio

from sdk.host.client import HostClient
from sdk.host.polls import Poll
from sdk.host.tasks import TaskSet
from sdk.host.wire import Work
from sdk.work.executor import CommandExecutor
from sdk.work.readiness import Readiness
from sdk.work.slots import Slots
from sdk.work.system_commands import SystemCommands


class WorkLoop:
    """Waits for the module to be ready, then claims command after command."""

    def __init__(
        self,
        client: HostClient,
        executor: CommandExecutor,
        slots: Slots,
        readiness: Readiness,
        system: SystemCommands,
        tasks: TaskSet,
    ) -> None:
        self._poll = Poll(client.poll_work)
        self._executor = executor
        self._slots = slots
        self._readiness = readiness
        self._system = system
        self._tasks = tasks
        self._is_style_known = False

    async def run(self) -> None:
        await self._readiness.wait()
        while True:
            await self._slots.wait_free()
            work = await self._poll.once()
            if work is None or self._system.takes(work):
                continue
            self._slots.take()
            await self._start(work)

    async def _start(self, work: Work) -> None:
        """Starts a command. Before the first long one has shown whether it is of the published
        style, which takes one at a time, no second one is claimed."""
        known = asyncio.Event()
        task = self._tasks.spawn(self._executor.run_claimed(work, known.set))
        if work.is_long_process and not self._is_style_known:
            task.add_done_callback(lambda _: known.set())
            await known.wait()
            self._is_style_known = True
