"""Taking work out of the store for an instance, until this host hands out no more.

Invariant: a command that was claimed for somebody who has left, or after the end was called, goes
back to its queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from host.commands import Command, CommandError
from host.store.protocol import CommandStore, StoreUnavailable
from host.wire import Work, system_payload

_log = logging.getLogger(__name__)


class Claims:
    """Every claim of this host."""

    def __init__(self, store: CommandStore) -> None:
        self._store = store
        self._waiting: set[asyncio.Task[Command | None]] = set()
        self.begun: Counter[str] = Counter()
        """How many commands of each queue were claimed through this host."""
        self.is_closed = False

    async def claim(
        self,
        queue: str,
        worker: str,
        wait_s: float,
        *,
        is_long_allowed: bool = True,
        beside: Coroutine[Any, Any, None] | None = None,
    ) -> Command | None:
        """The next command for `worker`; None when none came in time, or `beside` ended first.

        Raises StoreUnavailable.
        """
        tasks: list[asyncio.Task[Any]] = [] if beside is None else [asyncio.create_task(beside)]
        tasks.append(claim := self._begin(queue, worker, wait_s, is_long_allowed))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the module hung up: what it claimed goes back
            await _ended(tasks)
            if not claim.cancelled() and claim.exception() is None:
                await self.give_back(claim.result())
            raise
        await _ended(tasks)
        command = None if claim.cancelled() else claim.result()
        if command is not None:
            self.begun[command.queue] += 1
        return command

    def _begin(
        self, queue: str, worker: str, wait_s: float, is_long_allowed: bool
    ) -> asyncio.Task[Command | None]:
        job = (
            _nothing(wait_s)
            if self.is_closed
            else self._store.claim(queue, worker, wait_s=wait_s, is_long_allowed=is_long_allowed)
        )
        task = asyncio.create_task(job)
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        return task

    async def give_back(self, command: Command | None) -> None:
        """Put a claimed command back; a store that is away has its lease run out instead."""
        if command is None:
            return
        try:
            await self._store.requeue(command.id, command.attempt or "")
        except CommandError as moved_on:
            _log.info("a command is not given back: %s", moved_on.plain)
        except StoreUnavailable as error:
            _log.info("a command is not given back: %s", error)

    def close(self) -> None:
        """Hand out nothing any more: who waits for work gets none."""
        self.is_closed = True
        for task in self._waiting:
            task.cancel()


def work_of(command: Command) -> Work:
    """A claimed command as a module is given it."""
    payload = command.payload
    if payload is None:
        payload = system_payload(command.queue, command.name)
    return {"reqid": command.id, "reqtype": command.name, "payload": payload}


async def _nothing(wait_s: float) -> None:
    await asyncio.sleep(wait_s)


async def _ended(tasks: list[asyncio.Task[Any]]) -> None:
    """End what still waits; a claim that was made all the same is not lost."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
