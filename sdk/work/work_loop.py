"""Fetches work from a protocol-2 host.

Invariant: a command is claimed only when a slot is free for it, so what the host shows as queued is
queued and what it shows as running runs. Before the first long one has shown whether it is of the
published style, which takes one at a time, no second one is claimed.
"""

from __future__ import annotations

import asyncio
from typing import NoReturn

from sdk.host.client import HostClient
from sdk.host.polls import Poll
from sdk.host.tasks import TaskSet
from sdk.host.wire import Work
from sdk.work.executor import CommandExecutor
from sdk.work.readiness import Readiness
from sdk.work.slots import Slots
from sdk.work.system_commands import SystemCommands


async def fetch_work(
    client: HostClient,
    executor: CommandExecutor,
    slots: Slots,
    readiness: Readiness,
    system: SystemCommands,
    tasks: TaskSet,
) -> NoReturn:
    """Waits for the module to be ready, then claims command after command."""
    poll, is_style_known = Poll(client.poll_work), False
    await readiness.wait()
    while True:
        await slots.wait_free()
        work = await poll.once()
        if work is None or system.takes(work):
            continue
        slots.take()
        known = _start(work, executor, tasks)
        if work.is_long_process and not is_style_known:
            await known.wait()
            is_style_known = True


def _start(work: Work, executor: CommandExecutor, tasks: TaskSet) -> asyncio.Event:
    """Set when the command's style is known, or it has ended."""
    known = asyncio.Event()
    task = tasks.spawn(executor.run_claimed(work, known.set))
    task.add_done_callback(lambda _: known.set())
    return known
