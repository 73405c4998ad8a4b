"""The store of one host: rules on tables, and what lives of them in memory for those who wait.

Invariants: every change is one rule, carried out whole by the one writer; no status, wait or list
asks the tables for what a command was asked.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from host.channels import REPLY
from host.commands import CancelAnswer, Command, NewCommand, Outcome
from host.store.protocol import (
    Append,
    Busy,
    Overdue,
    QueueStats,
    Reported,
    StoreUnavailable,
)
from host.store.rows import rules
from host.store.rows.alive import Alive, short_only
from host.store.rows.database import Database, Done, Durability
from host.store.rows.writer import Writer
from host.wire import Payload

_T = TypeVar("_T")
_Claimed = tuple[Command, Payload]

FIRST_LEASE_S = 45.0  # until the first renewal: as long as a module of any protocol may be silent
TIDY_EVERY_S = 10.0


class RowStore:
    """Commands in SQLite, in `folder` or in memory.

    Ended ones leave after `keep_s` seconds, and the oldest when all take more than `max_bytes`.
    `max_queue_length` holds for commands that name no limit.
    """

    is_kept = False
    is_shared = False

    def __init__(
        self,
        folder: Path | None,
        *,
        keep_s: float,
        max_bytes: float,
        durability: Durability = "process",
        max_queue_length: int = 10_000,
        first_lease_s: float = FIRST_LEASE_S,
    ) -> None:
        self._max_queue_length = max_queue_length
        self._bounds = {"keep_s": keep_s, "max_bytes": max_bytes}
        self._alive = Alive(first_lease_s)
        self._database = Database(folder, durability)
        self._writer = Writer(self._database, self._heard)
        self._tidying: asyncio.Task[None] | None = None
        self._is_closed = False

    async def open(self) -> None:
        """Raises StoreUnavailable."""
        self._alive.load(await self._writer.open())
        self._tidying = asyncio.create_task(self._tidy())

    async def close(self) -> None:
        self._is_closed = True
        self._alive.readers.wake_all()
        self._alive.claimers.wake_all()
        if self._tidying is not None:
            self._tidying.cancel()
            await asyncio.gather(self._tidying, return_exceptions=True)
        await self._writer.close()

    def _heard(self, done: Done) -> None:
        if done.live is not None:
            self._alive.load(done.live)
        for change in done.changes:
            self._alive.apply(change)

    async def _do(self, rule: Callable[..., _T], *values: Any, **named: Any) -> _T:
        """Carry out a rule of `rules`: it goes on when whoever asked has left."""
        return await self._writer.do(lambda db: rule(db, *values, **named))

    async def _tidy(self) -> None:
        """Now and then, and again at once while there is more to do."""
        while True:
            try:
                if await self._do(rules.tidy, **self._bounds):
                    continue
                await self._writer.in_thread(self._database.restore_reserve)
            except StoreUnavailable:
                pass  # the writer has said it
            await asyncio.sleep(TIDY_EVERY_S)

    # -- work -----------------------------------------------------------------------------------

    async def create(self, new: NewCommand) -> Command:
        limit = self._max_queue_length if new.max_queue_length is None else new.max_queue_length
        made = await self._do(rules.create, Command.create(new), new.payload, limit)
        if isinstance(made, Command):
            return made
        return await self.read(made) or await self.create(new)  # deleted in between

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
        attempt = secrets.token_hex(8)
        rule = partial(rules.claim, queue=queue, worker=worker, attempt=attempt)
        asked = self._writer.do(partial(rule, is_long_allowed=is_long_allowed))
        try:
            claimed = await asyncio.shield(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(self._give_back)
            raise
        return replace(claimed[0], payload=claimed[1]) if claimed else None

    def _give_back(self, asked: asyncio.Future[_Claimed | None]) -> None:
        """Nobody was there to take it; if it cannot be written, the lease will run out."""
        claimed = None if asked.exception() else asked.result()
        if claimed is not None:
            command = claimed[0]
            self._writer.do(
                partial(
                    rules.requeue, command_id=command.id, attempt=command.attempt or "", error=None
                )
            )

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
        found = await self._do(rules.report, appends)
        return Reported(found, [one.id for one in self._alive.held(worker) if one.stop_wish])

    async def finish(self, command_id: str, attempt: str | None, outcome: Outcome) -> Command:
        return await self._do(rules.finish, command_id, attempt, outcome)

    async def requeue(self, command_id: str, attempt: str, error: str | None = None) -> Command:
        return await self._do(rules.requeue, command_id, attempt, error)

    async def adopt(self, command_id: str) -> None:
        await self._do(rules.adopt, command_id)

    async def cancel(self, command_id: str, wish: str = "cancelled") -> CancelAnswer:
        return await self._do(rules.cancel, command_id, wish)

    async def delete(self, command_id: str) -> bool:
        return await self._do(rules.delete, command_id)

    # -- reading --------------------------------------------------------------------------------

    async def read(self, command_id: str) -> Command | None:
        return self._alive.get(command_id) or await self._do(rules.read, command_id)

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
        return [Busy(one.id, one.queue, self._alive.run_s(one)) for one in held]

    async def workers(self) -> list[str]:
        return self._alive.leases.workers()

    async def renew(self, worker: str, lease_s: float) -> None:
        self._alive.leases.renew(worker, lease_s)

    async def lapsed(self) -> list[str]:
        return self._alive.leases.lapsed()

    async def overdue(self) -> list[Overdue]:
        return self._alive.overdue()

    async def stats(self, queue: str) -> QueueStats:
        totals = await self._do(rules.stats, queue)
        waiting, running, ended_per_s = self._alive.counts(queue)
        counts = {"waiting": waiting, "running": running}
        return QueueStats(queue=queue, ended_per_s=ended_per_s, **counts, **totals)
