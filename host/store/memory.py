"""The in-memory store: everything in one process, gone with it.

Invariant: there is no `await` between looking at a record and changing it, so every operation is
one step of the event loop.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Mapping
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
from host.store.protocol import QueueFull
from host.wakeups import Wakeups


class MemoryStore:
    """Commands in dictionaries; ended ones are kept until `keep_finished` later ones have ended."""

    def __init__(self, *, max_queue_length: int = 10_000, keep_finished: int = 10_000) -> None:
        self._max_queue_length = max_queue_length
        self._keep_finished = keep_finished
        self._commands: dict[str, Command] = {}
        self._queues: dict[str, deque[str]] = {}
        self._running: dict[str, set[str]] = {}
        self._finished: dict[str, None] = {}  # in the order of their ends
        self._keys: dict[str, str] = {}  # idempotency key -> command id
        self._key_of: dict[str, str] = {}
        self._readers = Wakeups()
        self._claimers = Wakeups()
        self._is_closed = False

    async def create(self, new: NewCommand) -> Command:
        known = self._commands.get(self._keys.get(new.idempotency_key or "", ""))
        if known is not None:
            return known
        queue = self._queues.setdefault(new.queue, deque())
        if len(queue) >= self._max_queue_length:
            raise QueueFull(new.queue, len(queue))
        command = Command.create(new)
        self._commands[command.id] = command
        if new.idempotency_key:
            self._keys[new.idempotency_key] = command.id
            self._key_of[command.id] = new.idempotency_key
        queue.append(command.id)
        self._claimers.wake(new.queue)
        return command

    async def claim(
        self, queue: str, worker: str, *, wait_s: float, is_long_allowed: bool = True
    ) -> Command | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while not self._is_closed:
            command = self._first(queue, is_long_allowed)
            if command is not None:
                self._queues[queue].remove(command.id)
                command.move(State.RUNNING)
                command.attempt = secrets.token_hex(8)
                command.attempts += 1
                command.worker = worker
                self._running.setdefault(worker, set()).add(command.id)
                self._readers.wake(command.id)
                return command
            remaining_s = deadline - loop.time()
            if remaining_s <= 0 or not await self._claimers.wait(queue, remaining_s):
                return None
        return None

    def _first(self, queue: str, is_long_allowed: bool) -> Command | None:
        waiting = (self._commands[command_id] for command_id in self._queues.get(queue, ()))
        return next((c for c in waiting if is_long_allowed or c.is_long is False), None)

    async def append(
        self, command_id: str, attempt: str, offset: int, text: str, fields: Mapping[str, Any]
    ) -> int:
        command = self._claimed(command_id, attempt)
        length = len(command.text)
        news = text[length - offset :] if offset <= length else ""
        changes = {k: v for k, v in fields.items() if command.fields.get(k) != v}
        if news or changes:
            command.text += news
            command.fields.update(changes)
            self._changed(command)
        return len(command.text)

    async def finish(self, command_id: str, attempt: str, outcome: Outcome) -> Command:
        return self._end(self._claimed(command_id, attempt), outcome)

    async def requeue(self, command_id: str, attempt: str) -> Command:
        command = self._claimed(command_id, attempt)
        if command.text:
            raise IllegalMove(command.id, command.state, State.QUEUED)
        command.move(State.QUEUED)
        self._release(command)
        command.fields.clear()
        self._queues[command.queue].appendleft(command.id)
        self._readers.wake(command.id)
        self._claimers.wake(command.queue)
        return command

    async def adopt(self, command_id: str) -> None:
        command = self._known(command_id)
        if not command.is_long:
            command.is_long = True
            self._changed(command)

    async def cancel(self, command_id: str) -> CancelAnswer:
        command = self._commands.get(command_id)
        if command is None:
            return CancelAnswer.UNKNOWN
        if command.state is State.QUEUED:
            self._end(command, Outcome.cancelled())
        if command.state is State.CANCELLED:
            return CancelAnswer.CANCELLED
        if command.state.is_terminal:
            return CancelAnswer.ALREADY_FINISHED
        if not command.is_cancel_requested:
            command.is_cancel_requested = True
            self._changed(command)
        return CancelAnswer.REQUESTED

    async def fail(self, command_id: str, error: str) -> Command:
        command = self._known(command_id)
        return command if command.state.is_terminal else self._end(command, Outcome.failed(error))

    async def read(self, command_id: str) -> Command | None:
        return self._commands.get(command_id)

    async def position(self, command_id: str) -> int:
        command = self._commands.get(command_id)
        if command is None or command.state is not State.QUEUED:
            return 0
        return self._queues[command.queue].index(command_id) + 1

    async def delete(self, command_id: str) -> bool:
        command = self._commands.get(command_id)
        if command is None or not command.state.is_terminal:
            return False
        self._forget(command_id)
        return True

    async def wait(self, command_id: str, version: int, timeout_s: float) -> Command | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not self._is_closed:
            command = self._commands.get(command_id)
            if command is None or command.version > version:
                return command
            remaining_s = deadline - loop.time()
            if remaining_s <= 0 or not await self._readers.wait(command_id, remaining_s):
                return command
        return self._commands.get(command_id)

    async def queued(self, queue: str) -> list[Command]:
        return [self._commands[command_id] for command_id in self._queues.get(queue, ())]

    async def running(self, worker: str) -> list[Command]:
        return [self._commands[command_id] for command_id in self._running.get(worker, ())]

    async def close(self) -> None:
        self._is_closed = True
        self._readers.wake_all()
        self._claimers.wake_all()

    def _known(self, command_id: str) -> Command:
        command = self._commands.get(command_id)
        if command is None:
            raise UnknownCommand(command_id)
        return command

    def _claimed(self, command_id: str, attempt: str) -> Command:
        command = self._known(command_id)
        if command.state is not State.RUNNING or command.attempt != attempt:
            raise StaleAttempt(command_id)
        return command

    def _changed(self, command: Command) -> None:
        command.version += 1
        self._readers.wake(command.id)

    def _release(self, command: Command) -> None:
        if command.worker is not None:
            held = self._running.get(command.worker, set())
            held.discard(command.id)
            if not held:
                self._running.pop(command.worker, None)
        command.attempt = command.worker = None

    def _end(self, command: Command, outcome: Outcome) -> Command:
        if command.state is State.QUEUED:
            self._queues[command.queue].remove(command.id)
        command.move(outcome.state)
        self._release(command)
        reply = outcome.result.get("reply")
        if isinstance(reply, str) and reply.startswith(command.text):
            command.text = reply
        command.result = outcome.result
        command.payload["files"] = []  # images are large, and nobody reads them any more
        self._finished[command.id] = None
        self._readers.wake(command.id)
        while len(self._finished) > self._keep_finished:
            self._forget(next(iter(self._finished)))
        return command

    def _forget(self, command_id: str) -> None:
        self._finished.pop(command_id, None)
        self._commands.pop(command_id, None)
        self._keys.pop(self._key_of.pop(command_id, ""), None)
        self._readers.wake(command_id)
