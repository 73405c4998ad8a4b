"""The store of one host: rules on what lives in memory, and the tables that keep it.

Invariants: every change is one rule, carried out whole; no status, wait or list asks the tables
for what a command was asked.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from host.asked import StoredPayload
from host.channels import REPLY
from host.commands import (
    CancelAnswer,
    Command,
    CommandError,
    NewCommand,
    Outcome,
    StaleAttempt,
    State,
    UnknownCommand,
)
from host.store.protocol import (
    Append,
    Busy,
    Overdue,
    QueueStats,
    Reported,
    StoreUnavailable,
)
from host.store.rows import rules
from host.store.rows.alive import ENDED_CHARS, Alive, is_short, short_only
from host.store.rows.database import Database, Durability
from host.store.rows.records import BrokenRecord
from host.store.rows.writer import Writer
from host.wire import Payload

_T = TypeVar("_T")

FIRST_LEASE_S = 45.0  # until the first renewal: as long as a module of any protocol may be silent
TIDY_EVERY_S = 10.0
_COUNTED = ("completed", "cancelled", "failed", "mean_run_s")


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
        self._tidying: asyncio.Task[None] | None = None
        self._is_closed = False

    async def open(self) -> None:
        """Raises StoreUnavailable."""
        await self._writer.open()
        self._tidying = asyncio.create_task(self._tidy())

    async def close(self) -> None:
        """Write what is to be kept; waiting readers return."""
        self._is_closed = True
        self._alive.readers.wake_all()
        self._alive.claimers.wake_all()
        if self._tidying is not None:
            self._tidying.cancel()
            await asyncio.gather(self._tidying, return_exceptions=True)
        await self._writer.close()

    async def _do(self, rule: Callable[..., _T], command_id: str, *values: Any) -> _T:
        """Carry out a rule on a command that lives: it goes on when whoever asked has left."""
        try:
            return await self._writer.do(lambda alive: rule(alive, command_id, *values))
        except KeyError:
            raise await self._why_not(command_id) from None

    async def _why_not(self, command_id: str) -> CommandError:
        """What is wrong with a change to a command that does not live."""
        is_known = await self.read(command_id) is not None
        return StaleAttempt(command_id) if is_known else UnknownCommand(command_id)

    async def _tidy(self) -> None:
        """Now and then, and again at once while there is more to do."""
        while True:
            job = partial(self._database.tidy, time.time() - self._keep_s, self._max_bytes)
            try:
                while removed := await self._writer.in_thread(job):
                    self._alive.forget(removed)
                await self._writer.in_thread(self._database.restore_reserve)
            except StoreUnavailable as error:
                self._writer.note_fault(error)
            await asyncio.sleep(TIDY_EVERY_S)

    # -- work -----------------------------------------------------------------------------------

    async def create(self, new: NewCommand) -> Command:
        if new.idempotency_key:
            job = partial(self._database.read, "idempotency_key", new.idempotency_key)
            known = await self._writer.in_thread(job)
            if known is not None:
                return self._alive.get(known.id) or known
        if self._database.is_full:
            raise StoreUnavailable(
                "the disk is full: commands can end and be deleted, none can begin"
            )
        limit = self._max_queue_length if new.max_queue_length is None else new.max_queue_length
        return await self._writer.do(lambda alive: rules.create(alive, new, limit))

    async def claim(
        self, queue: str, worker: str, *, wait_s: float, is_long_allowed: bool = True
    ) -> Command | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        key = queue if is_long_allowed else short_only(queue)
        try:
            while not self._is_closed:
                if self._alive.has_work(queue, is_long_allowed):
                    command = await self._hand_out(queue, worker, is_long_allowed)
                    if command is not None:
                        return command
                    continue
                remaining_s = deadline - loop.time()
                if remaining_s <= 0 or not await self._alive.claimers.wait(key, remaining_s):
                    return None
            return None
        finally:  # one who was woken and leaves without it tells the next
            if self._alive.has_work(queue, is_long_allowed):
                self._alive.claimers.wake_one(key)

    async def _hand_out(self, queue: str, worker: str, is_long_allowed: bool) -> Command | None:
        values, has_left = (queue, worker, secrets.token_hex(8), is_long_allowed), asyncio.Event()
        claiming = self._writer.do(
            lambda alive: None if has_left.is_set() else rules.claim(alive, *values)
        )
        try:
            command = await asyncio.shield(claiming)
            return await self._with_input(command) if command else None
        except asyncio.CancelledError:
            has_left.set()
            claiming.add_done_callback(self._give_back)
            raise

    def _give_back(self, claiming: asyncio.Future[Command | None]) -> None:
        """Nobody was there to take it; if it cannot be written, the lease will run out."""
        command = None if claiming.exception() else claiming.result()
        if command is not None:
            found = (command.id, command.attempt or "", None)
            self._writer.do(lambda alive: rules.requeue(alive, *found))

    async def _with_input(self, command: Command) -> Command | None:
        try:
            payload: Payload | StoredPayload | None = self._alive.unwritten.get(command.id)
            if payload is None:
                job = partial(self._database.input, command)
                payload = await self._writer.in_thread(job)
        except BrokenRecord as error:
            outcome = Outcome.failed(f"what the command was asked cannot be read: {error}")
            await self.finish(command.id, command.attempt, outcome)
            return None
        return replace(command, payload=payload)

    async def append(
        self,
        command_id: str,
        attempt: str,
        offset: int,
        text: str,
        fields: Mapping[str, Any],
        channel: str = REPLY,
    ) -> int:
        return await self._do(rules.append, command_id, attempt, offset, text, fields, channel)

    async def report(self, worker: str, appends: Sequence[Append]) -> Reported:
        found = await self._writer.do(lambda alive: rules.report(alive, appends))
        told = [
            await self._why_not(asked.command_id) if isinstance(one, KeyError) else one
            for asked, one in zip(appends, found, strict=True)
        ]
        return Reported(told, [one.id for one in self._alive.held(worker) if one.stop_wish])

    async def finish(self, command_id: str, attempt: str | None, outcome: Outcome) -> Command:
        return await self._do(rules.finish, command_id, attempt, outcome)

    async def requeue(self, command_id: str, attempt: str, error: str | None = None) -> Command:
        return await self._do(rules.requeue, command_id, attempt, error)

    async def adopt(self, command_id: str) -> None:
        with suppress(StaleAttempt):  # it has ended
            await self._do(rules.adopt, command_id)

    async def cancel(self, command_id: str, wish: str = "cancelled") -> CancelAnswer:
        try:
            return await self._do(rules.cancel, command_id, wish)
        except CommandError:
            ended = await self.read(command_id)
        if ended is None:
            return CancelAnswer.UNKNOWN
        has_stopped = ended.state is State.CANCELLED
        return CancelAnswer.CANCELLED if has_stopped else CancelAnswer.ALREADY_FINISHED

    async def delete(self, command_id: str) -> bool:
        command = await self.read(command_id)
        if command is None or not command.state.is_terminal:
            return False
        if not is_short(command):
            await self._writer.in_thread(partial(self._database.remove, command))
        self._alive.forget([command_id])
        return True

    # -- reading --------------------------------------------------------------------------------

    async def read(self, command_id: str) -> Command | None:
        known = self._alive.get(command_id)
        if known is not None:
            return known
        job = partial(self._database.read, "id", command_id)
        found = await self._writer.in_thread(job)
        if found is not None and found.output.length <= ENDED_CHARS:
            self._alive.remember(found)
        return found

    async def wait(self, command_id: str, version: int, timeout_s: float) -> Command | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            command = await self.read(command_id)
            if command is None or command.state.is_terminal or command.version > version:
                return command
            remaining_s = deadline - loop.time()
            if self._is_closed or remaining_s <= 0:
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
        totals = {one: getattr(found.totals, one) for one in _COUNTED}
        waiting, ended_per_s = len(found.waiting), found.ended_per_s()
        return QueueStats(queue, waiting, found.running, ended_per_s=ended_per_s, **totals)
