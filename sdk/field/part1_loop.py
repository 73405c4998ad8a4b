"""Serves a host that speaks part 1 only: work and control share one queue.

Invariant: the queue is polled whether or not slots are free, so a status or a cancel is never stuck
behind work; work waits in a backlog here, in the order it came.
"""

from __future__ import annotations

import asyncio
from typing import NoReturn

from sdk.host.client import HostClient
from sdk.host.polls import Poll
from sdk.host.tasks import TaskSet
from sdk.work.executor import CommandExecutor
from sdk.work.system_commands import SystemCommands


async def serve_part1(
    client: HostClient,
    executor: CommandExecutor,
    system: SystemCommands,
    tasks: TaskSet,
    parallelism: int,
) -> NoReturn:
    """`parallelism` commands at once may be inside `process()`; long ones then wait for a slot."""
    poll, gate = Poll(client.poll_part1), asyncio.Semaphore(parallelism)
    while True:
        work = await poll.once()
        if work is not None and not system.takes(work):
            tasks.spawn(executor.run_backlogged(work, gate))
