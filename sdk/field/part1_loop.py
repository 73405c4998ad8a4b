"""Serves a host that speaks part 1 only: work and control share one queue.

Invariant: the queue is polled whether or not slots are free, so a status or a cancel is never stuck
behind work; work waits in a backlog here, in the order it came.
"""

from __future__ import annotations

import asyncio
import logging

from sdk.host.answer_sender import Outlet
from sdk.host.client import HostClient
from sdk.host.errors import HostRefused, HostUnavailable
from sdk.host.tasks import Backoff, TaskSet
from sdk.work.executor import CommandExecutor
from sdk.work.system_commands import SystemCommands
from sdk.work.work_loop import answer_system

logger = logging.getLogger(__name__)


class Part1Loop:
    """`parallelism` commands at once may be inside `process()`; long ones then wait for a slot."""

    def __init__(
        self,
        client: HostClient,
        executor: CommandExecutor,
        system: SystemCommands,
        sender: Outlet,
        tasks: TaskSet,
        parallelism: int,
    ) -> None:
        self._client = client
        self._executor = executor
        self._system = system
        self._sender = sender
        self._tasks = tasks
        self._gate = asyncio.Semaphore(max(1, parallelism))

    async def run(self) -> None:
        backoff = Backoff()
        while True:
            try:
                work = await self._client.poll_part1()
            except (HostUnavailable, HostRefused) as error:
                logger.debug("nothing from the queue: %s", error)
                await backoff.pause()
                continue
            backoff.reset()
            if work is None:
                continue
            if self._system.knows(work):
                self._tasks.spawn(answer_system(self._system, self._sender, work))
            else:
                self._tasks.spawn(self._executor.run_backlogged(work, self._gate))
