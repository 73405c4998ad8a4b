"""The store of one host: rules on what lives in memory, and the tables that keep it.

Invariants: every change is one rule, carried out whole; no status, wait or list asks the tables
for what a command was asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from host.channels import REPLY
from host.commands import CancelAnswer, Command, CommandError, NewCommand, Outcome, UnknownCommand
from host.store.protocol import Append, Busy, Overdue, QueueStats, Reported, StoreUnavailable
from host.store.rows import rules
from host.store.rows.alive import Alive, short_only
from host.store.rows.database import Database
from host.store.rows.records import BrokenRecord
from host.store.rows.tables import Durability, Tables
from host.store.rows.writer import Writer

_T = TypeVar("_T")

FIRST_LEASE_S = 45.0  # until the first renewal: as long as a module of any protocol may be silent
TIDY_EVERY_S = 10.0


class RowStore:
    """Commands in SQLite, in `folder` or in memory.

    Ended ones leave after `keep_s` seconds, and the oldest when all take more than `max_bytes`.
    `durability` says what a confirmed command survives: the end of the "process", or loss of
    "power" too. `max_queue_length` holds for commands that name no limit.
    """

    is_kept = False
    is_shared = False

    def __init__(
        self,
        folder: Path | None = None,
        *,
        keep_s: float = 24 * 3600,
        max_bytes: float = 2**30,
        durability: Durability = "process",
        max_queue_length: int = 10_000,
        first_lease_s: float = FIRST_LEASE_S,
    ) -> None:
        self._max_queue_length = max_queue_length
        self._keep_s, self._max_bytes = keep_s, max_bytes
        self._alive = Alive(first_lease_s)
        self._database = Database(folder, durability, self._alive)
        self._writer = Writer(self._alive, self._database)

    async def open(self) -> None:
        """Raises StoreUnavailable."""
        await self._writer.open(self._tidy)

    async def close(self) -> None:
        """Write what is to be kept; waiting readers return."""
        await self._writer.close()
        self._alive.readers.wake_all()
        self._alive.claimers.wake_all()

    async def _tidy(self) -> None:
        """Now and then, and again at once while there is more to do."""
        while True:
            job = partial(Tables.tidy, before=time.time() - self._keep_s, max_bytes=self._max_bytes)
            with suppress(StoreUnavailable):  # whoever wants to write hears of it
                while removed := await self._writer.in_thread(job):
                    self._alive.forget(removed)
                await self._writer.in_thread(lambda _: self._database.restore_reserve())
            await asyncio.sleep(TIDY_EVERY_S)

    # -- work -----------------------------------------------------------------------------------

    async def create(self, new: NewCommand) -> Command:
        key = new.idempotency_key
        if key and key not in self._alive.keys:
            await self._find("idempotency_key", key)
        if self._database.is_full and key not in self._alive.keys:
            raise StoreUnavailable(
                "the disk is full: commands can end and be deleted, none can begin"
            )
        limit = self._max_queue_length if new.max_queue_length is None else new.max_queue_length
        async with self._writer:
            return rules.create(self._alive, new, limit)

    async def claim(
        self, queue: str, worker: str, *, wait_s: float, is_long_allowed: bool = True
    ) -> Command | None:
        deadline = time.monotonic() + wait_s
        key = queue if is_long_allowed else short_only(queue)
        try:
            while self._writer.is_open:
                command = rules.claim(self._alive, queue, worker, is_long_allowed)
                if command is None:
                    remaining_s = deadline - time.monotonic()
                    if remaining_s <= 0 or not await self._alive.claimers.wait(key, remaining_s):
                        return None
                elif claimed := await self._hand_out(command):
                    return claimed
            return None
        finally:  # one who was woken and leaves without it tells the next
            if self._alive.next(queue, is_long_allowed) is not None:
                self._alive.claimers.wake_one(key)

    async def _hand_out(self, command: Command) -> Command | None:
        """With what it was asked, once the claim is on disk; None when that cannot be read."""
        try:
            async with self._writer:
                payload = self._alive.unwritten.get(command.id)
            if payload is not None:
                return replace(command, payload=payload)
            asked = await self._writer.in_thread(lambda tables: tables.input(command.number))
            return replace(command, payload=asked)
        except BrokenRecord as error:
            outcome = Outcome.failed(f"what the command was asked cannot be read: {error}")
            await self.finish(command.id, command.attempt, outcome)
            return None
        except BaseException:  # nobody is there to take it
            with suppress(CommandError):
                rules.requeue(self._alive, command.id, command.attempt or "", None)
                self._writer.wanted.set()
            raise

    async def _do(self, rule: Callable[..., _T], command_id: str, *values: Any) -> _T:
        await self.read(command_id)
        async with self._writer:
            return rule(self._alive, command_id, *values)

    async def append(
        self,
        command_id: str,
        attempt: str,
        offset: int,
        text: str,
        fields: Mapping[str, Any],
        channel: str = REPLY,
    ) -> int:
        await self.read(command_id)
        async with self._writer:
            new = Append(command_id, attempt, offset, text, fields, channel)
            return rules.append(self._alive, new)

    async def report(self, worker: str, appends: Sequence[Append]) -> Reported:
        for one in appends:
            await self.read(one.command_id)
        async with self._writer:
            found = rules.report(self._alive, appends)
        return Reported(found, [one.id for one in self._alive.held(worker) if one.stop_wish])

    async def finish(self, command_id: str, attempt: str | None, outcome: Outcome) -> Command:
        return await self._do(rules.finish, command_id, attempt, outcome)

    async def requeue(self, command_id: str, attempt: str, error: str | None = None) -> Command:
        return await self._do(rules.requeue, command_id, attempt, error)

    async def adopt(self, command_id: str) -> None:
        await self._do(rules.adopt, command_id)

    async def cancel(self, command_id: str, wish: str = "cancelled") -> CancelAnswer:
        try:
            return await self._do(rules.cancel, command_id, wish)
        except UnknownCommand:
            return CancelAnswer.UNKNOWN

    async def delete(self, command_id: str) -> bool:
        command = await self.read(command_id)
        if command is None or not command.state.is_terminal:
            return False
        await self._writer.in_thread(lambda tables: tables.remove(command))
        self._alive.forget([command_id])
        return True

    # -- reading --------------------------------------------------------------------------------

    async def read(self, command_id: str) -> Command | None:
        return self._alive.get(command_id) or await self._find("id", command_id)

    async def _find(self, column: str, value: str) -> Command | None:
        """One that ended long ago: it may be asked for again."""
        found = await self._writer.in_thread(lambda tables: tables.read(column, value))
        if found is not None:
            self._alive.remember(found)
        return found

    async def wait(self, command_id: str, version: int, timeout_s: float) -> Command | None:
        deadline = time.monotonic() + timeout_s
        while True:
            command = await self.read(command_id)
            if command is None or command.state.is_terminal or command.version > version:
                return command
            remaining_s = deadline - time.monotonic()
            if not self._writer.is_open or remaining_s <= 0:
                return command
            await self._alive.readers.wait(command_id, remaining_s)

    async def position(self, command_id: str) -> int:
        return self._alive.position(command_id)

    async def queued(self, queue: str) -> list[Command]:
        return self._alive.queued(queue)

    async def running(self, worker: str) -> list[Command]:
        return self._alive.held(worker)

    async def busy(self, *workers: str) -> list[Busy]:
        held = [one for worker in workers for one in self._alive.held(worker)]
        return [Busy(one.id, one.queue, time.monotonic() - one.since) for one in held]

    async def workers(self) -> list[str]:
        return self._alive.leases.workers()

    async def renew(self, worker: str, lease_s: float) -> None:
        self._alive.leases.renew(worker, lease_s)

    async def lapsed(self) -> list[str]:
        return self._alive.leases.lapsed()

    async def overdue(self) -> list[Overdue]:
        return self._alive.overdue()

    async def stats(self, queue: str) -> QueueStats:
        found = self._alive.queues[queue]
        _, completed, cancelled, failed, _, mean_run_s = found.totals
        ends = completed, cancelled, failed, mean_run_s, found.ended_per_s()
        return QueueStats(queue, len(found.waiting), found.running, *ends)
