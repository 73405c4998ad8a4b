"""Serves a host that speaks part 1 only: work and control share one queue.

Invariant: the queue is polled whether or not slots are free, so a status or a cancel is never stuck
behind work; work waits in a backlog here, in the order it came.
"""

from __future__ import annotations

import asyncio

from sdk.host.client import HostClient
from sdk.host.polls import Poll
from sdk.host.tasks import TaskSet
from sdk.work.executor import CommandExecutor
from sdk.work.system_commands import SystemCommands


class Part1Loop:
    """`parallelism` commands at once may be inside `process()`; long ones then wait for a slot."""

    def __init__(
        self,
        client: HostClient,
        executor: CommandExecutor,
        system: SystemCommands,
        tasks: TaskSet,
        parallelism: int,
    ) -> None:
        self._poll = Poll(client.poll_part1)
        self._executor = executor
        self._system = system
        self._tasks = tasks
        self._gate = asyncio.Semaphore(max(1, parallelism))

    async def run(self) -> None:
        while True:
            work = await self._poll.once()
            if work is not None and not self._system.takes(work):
                self._tasks.spawn(self._executor.run_backlogged(work, self._gate))
