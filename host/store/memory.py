"""The rules of commands and queues, in the memory of one process; a shelf may keep more.

Invariants: a change makes a new record, the shelf confirms it, and only then it takes the place of
the old one, so that nobody sees what could still be lost (text alone, but for its beginning, grows
in place, and is kept a moment later); one change of a command at a time; a command that is being
changed does not wait in its queue meanwhile.
"""

from __future__ import annotations

import asyncio
import copy
import secrets
import time
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from host.commands import (
    CancelAnswer,
    Command,
    IllegalMove,
    NewCommand,
    Outcome,
    StaleAttempt,
    State,
    UnknownCommand,
)
from host.store.fair_queue import FairQueue
from host.store.locks import KeyedLocks
from host.store.protocol import QueueFull, QueueStats, StoreUnavailable
from host.store.shelf import Shelf, settled
from host.store.tally import Tally
from host.store.worker_leases import WorkerLeases
from host.wakeups import Wakeups

FIRST_LEASE_S = 45.0  # until the first renewal: as long as a module of any protocol may be silent


class MemoryStore:
    """Commands in dictionaries.

    Ended ones leave when `keep_finished` later ones have ended, or after `keep_s` seconds; without
    a shelf they are gone then. `max_queue_length` holds for commands that name no limit.
    """

    is_kept = False
    is_shared = False

    def __init__(
        self,
        *,
        shelf: Shelf | None = None,
        max_queue_length: int = 10_000,
        keep_finished: int = 10_000,
        keep_s: float = float("inf"),
        first_lease_s: float = FIRST_LEASE_S,
    ) -> None:
        self._shelf = shelf
        self._max_queue_length = max_queue_length
        self._keep_finished = keep_finished
        self._keep_s = keep_s
        self._commands: dict[str, Command] = {}
        self._queues: defaultdict[str, FairQueue] = defaultdict(FairQueue)
        self._tallies: defaultdict[str, Tally] = defaultdict(Tally)
        self._leases = WorkerLeases(first_lease_s)
        self._finished: OrderedDict[str, None] = OrderedDict()  # in the order of their ends
        self._keys: dict[str, str] = {}  # idempotency key -> command id
        self._due: dict[str, float] = {}  # when a command has waited or run long enough
        self._last_number = 0
        self._locks = KeyedLocks()
        self._readers = Wakeups()
        self._claimers = Wakeups()
        self._is_closed = False

    async def open(self) -> None:
        """There is nothing to take hold of."""

    async def create(self, new: NewCommand) -> Command:
        if not new.idempotency_key:
            return await self._create(new)
        async with self._locks.hold(f"key {new.idempotency_key}"):
            return await self._first_with(new.idempotency_key) or await self._create(new)

    async def _first_with(self, key: str) -> Command | None:
        self._let_go_of_old()
        known = self._commands.get(self._keys.get(key, ""))
        if known is None and self._shelf is not None:
            return await self._shelf.load_first(key)
        return known

    async def _create(self, new: NewCommand) -> Command:
        queue = self._queues[new.queue]
        length = len(queue) + queue.coming
        limit = self._max_queue_length if new.max_queue_length is None else new.max_queue_length
        if length >= limit:
            raise QueueFull(new.queue, length)
        command = Command.create(new)
        self._last_number += 1
        command.number = self._last_number
        queue.give_turn(command)
        queue.coming += 1
        try:
            await self._save(command)
        finally:
            queue.coming -= 1
        return command

    async def claim(
        self, queue: str, worker: str, *, wait_s: float, is_long_allowed: bool = True
    ) -> Command | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while not self._is_closed:
            command_id = self._queues[queue].first(is_long_allowed)
            if command_id is not None:
                command = await self._hand_out(command_id, worker)
                if command is not None:
                    return command
                continue
            remaining_s = deadline - loop.time()
            if remaining_s <= 0 or not await self._claimers.wait(queue, remaining_s):
                return None
        return None

    async def _hand_out(self, command_id: str, worker: str) -> Command | None:
        """None when the command has changed before it was this claim's turn."""
        async with self._locks.hold(command_id):
            waiting = self._commands.get(command_id)
            if waiting is None or waiting.state is not State.QUEUED:
                return None
            self._queues[waiting.queue].serve(waiting)
            running = copy.copy(waiting)
            running.move(State.RUNNING)
            running.attempt = secrets.token_hex(8)
            running.attempts += 1
            running.worker = worker
            try:
                await self._save(running)
            except asyncio.CancelledError:  # nobody is there to take it
                again = copy.copy(waiting)
                again.version = running.version + 1
                with suppress(StoreUnavailable):  # its lease will run out
                    await self._save(again)
                raise
            return running

    async def append(
        self, command_id: str, attempt: str, offset: int, text: str, fields: Mapping[str, Any]
    ) -> int:
        async with self._locks.hold(command_id):
            command = await self._claimed(command_id, attempt)
            length = len(command.text)
            news = text[length - offset :] if offset <= length else ""
            changes = {k: v for k, v in fields.items() if command.fields.get(k) != v}
            if news or changes:
                is_cancelled = bool(news) and not length and await self._kept_first(command, news)
                command.text += news
                command.fields.update(changes)
                self._changed(command)
                if is_cancelled:
                    raise asyncio.CancelledError
            return len(command.text)

    async def finish(self, command_id: str, attempt: str | None, outcome: Outcome) -> Command:
        async with self._locks.hold(command_id):
            if attempt is not None:
                return await self._end(await self._claimed(command_id, attempt), outcome)
            command = await self._known(command_id)
            if command.state is not State.QUEUED:
                raise StaleAttempt(command_id)
            return await self._end(command, outcome)

    async def requeue(self, command_id: str, attempt: str) -> Command:
        async with self._locks.hold(command_id):
            command = await self._claimed(command_id, attempt)
            if command.text:
                raise IllegalMove(command.id, command.state, State.QUEUED)
            waiting = copy.copy(command)
            waiting.move(State.QUEUED)
            waiting.attempt = waiting.worker = None
            waiting.fields = {}
            await self._save(waiting)
            return waiting

    async def adopt(self, command_id: str) -> None:
        async with self._locks.hold(command_id):
            command = await self._known(command_id)
            if command.is_long or command.state.is_terminal:
                return
            self._take_out(command)
            command.is_long = True
            self._put_in(command)
            self._changed(command)

    async def cancel(self, command_id: str, wish: str = "cancelled") -> CancelAnswer:
        async with self._locks.hold(command_id):
            command = await self.read(command_id)
            if command is None:
                return CancelAnswer.UNKNOWN
            if command.state is State.QUEUED:
                command = await self._end(command, Outcome.cancelled())
            if command.state is State.CANCELLED:
                return CancelAnswer.CANCELLED
            if command.state.is_terminal:
                return CancelAnswer.ALREADY_FINISHED
            if not command.stop_wish:
                command.stop_wish = wish
                self._changed(command)
            return CancelAnswer.REQUESTED

    async def read(self, command_id: str) -> Command | None:
        self._let_go_of_old()
        command = self._commands.get(command_id)
        if command is None and self._shelf is not None:
            return await self._shelf.load(command_id)
        return command

    async def position(self, command_id: str) -> int:
        command = self._commands.get(command_id)
        if command is None or command.state is not State.QUEUED:
            return 0
        return self._queues[command.queue].place(command)

    async def delete(self, command_id: str) -> bool:
        async with self._locks.hold(command_id):
            command = await self.read(command_id)
            if command is None or not command.state.is_terminal:
                return False
            is_cancelled = False
            if self._shelf is not None:
                erasing = self._shelf.erase(command)
                is_cancelled = await settled(erasing)
                erasing.result()
            self._forget(command)
            if is_cancelled:
                raise asyncio.CancelledError
            return True

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
            await self._readers.wait(command_id, remaining_s)

    async def queued(self, queue: str) -> list[Command]:
        return [self._commands[command_id] for command_id in self._queues[queue].ids()]

    async def running(self, worker: str) -> list[Command]:
        return [self._commands[command_id] for command_id in self._leases.held(worker)]

    async def workers(self) -> list[str]:
        return self._leases.workers()

    async def renew(self, worker: str, lease_s: float) -> None:
        self._leases.renew(worker, lease_s)

    async def lapsed(self) -> list[str]:
        return self._leases.lapsed()

    async def overdue(self) -> list[Command]:
        now = time.time()
        return [self._commands[command_id] for command_id, due in self._due.items() if due < now]

    async def stats(self, queue: str) -> QueueStats:
        return self._tallies[queue].stats(queue, len(self._queues[queue]))

    async def close(self) -> None:
        self._is_closed = True
        self._readers.wake_all()
        self._claimers.wake_all()

    # -- records ------------------------------------------------------------------------------

    async def _known(self, command_id: str) -> Command:
        command = await self.read(command_id)
        if command is None:
            raise UnknownCommand(command_id)
        return command

    async def _claimed(self, command_id: str, attempt: str) -> Command:
        command = await self._known(command_id)
        if command.state is not State.RUNNING or command.attempt != attempt:
            raise StaleAttempt(command_id)
        return command

    async def _end(self, command: Command, outcome: Outcome) -> Command:
        outcome = outcome.as_wished(command.stop_wish)
        ended = copy.copy(command)
        ended.move(outcome.state)
        ended.attempt = ended.worker = None
        ended.result = outcome.result
        reply = outcome.result.get("reply")
        if isinstance(reply, str) and reply.startswith(command.text):
            ended.text = reply
        # images are large, and nobody reads them any more
        ended.payload = {**command.payload, "files": []}
        await self._save(ended)
        return ended

    async def _save(self, command: Command) -> None:
        """Let a new record take the place of the old one, once it is kept.

        Raises StoreUnavailable, and everything is as before.
        """
        if self._shelf is None:
            self._put(command)
            return
        before = self._commands.get(command.id)
        is_waiting = before is not None and before.state is State.QUEUED
        if before is not None and is_waiting:
            self._queues[before.queue].remove(before)
        saving = self._shelf.save(command)
        is_cancelled = await settled(saving)
        try:
            saving.result()
        except StoreUnavailable:
            if before is not None and is_waiting:
                self._queues[before.queue].add(before)
            raise
        self._put(command)
        if is_cancelled:
            raise asyncio.CancelledError

    async def _kept_first(self, command: Command, text: str) -> bool:
        """Keep a command's first text; True when cancelled meanwhile. Raises StoreUnavailable.

        Once somebody has seen text of it, a command must not start again, whatever happens.
        """
        if self._shelf is None:
            return False
        shown = copy.copy(command)
        shown.text = text
        saving = self._shelf.save(shown)
        is_cancelled = await settled(saving)
        saving.result()
        return is_cancelled

    def _changed(self, command: Command) -> None:
        command.version += 1
        if self._shelf is not None:
            self._shelf.note(command)
        self._readers.wake(command.id)

    def _put(self, command: Command) -> None:
        before = self._commands.get(command.id)
        if before is not None:
            self._take_out(before)
        self._commands[command.id] = command
        self._put_in(command)
        if before is not None and command.state.is_terminal:
            self._count_end(command)
        self._readers.wake(command.id)

    def _count_end(self, command: Command) -> None:
        tally = self._tallies[command.queue]
        tally.note_end(command)
        if self._shelf is not None:
            self._shelf.note_tally(command.queue, tally.saved())

    def _take_out(self, command: Command) -> None:
        """Remove a record from whatever lists those of its state."""
        self._due.pop(command.id, None)
        if command.state is State.QUEUED:
            self._queues[command.queue].remove(command)
        elif command.state is State.RUNNING:
            self._tallies[command.queue].running -= 1
            self._leases.release(command.worker or "", command.id)

    def _put_in(self, command: Command) -> None:
        """List a record where those of its state are listed."""
        if command.idempotency_key:
            self._keys[command.idempotency_key] = command.id
        if command.state is State.QUEUED:
            self._queues[command.queue].add(command)
            since = time.time() if command.attempts else command.created_at
            self._limit(command, since, command.max_wait_s)
            self._claimers.wake(command.queue)
        elif command.state is State.RUNNING:
            self._tallies[command.queue].running += 1
            self._leases.take(command.worker or "", command.id)
            self._limit(command, command.started_at or time.time(), command.max_run_s)
        else:
            self._finished[command.id] = None
            self._let_go_of_old()

    def _let_go_of_old(self) -> None:
        since = time.time() - self._keep_s
        while self._finished:
            oldest = self._commands[next(iter(self._finished))]
            is_kept = len(self._finished) <= self._keep_finished
            if is_kept and (oldest.finished_at or since) >= since:
                return
            self._forget(oldest)

    def _limit(self, command: Command, since: float, limit_s: float | None) -> None:
        if limit_s:
            self._due[command.id] = since + limit_s

    def _forget(self, command: Command) -> None:
        self._finished.pop(command.id, None)
        self._commands.pop(command.id, None)
        if self._keys.get(command.idempotency_key or "") == command.id:
            del self._keys[command.idempotency_key or ""]
        self._readers.wake(command.id)
