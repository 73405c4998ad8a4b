"""The switchboard of a host that shares its store with no other: everything in one process.

Invariant: there is no `await` between looking at a mailbox and changing it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from host.switchboard.protocol import Sighting
from host.wakeups import Wakeups
from host.wire import Control

MAILBOX_LIMIT = 1000  # what nobody collects is given up, the oldest first


class MemorySwitchboard:
    """Mailboxes in a dictionary; there is no other host to hear from."""

    def __init__(self) -> None:
        self._mail: dict[str, deque[Control]] = {}
        self._questions: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._waiters = Wakeups()
        self._is_closed = False

    async def open(self) -> None:
        """Nothing to take hold of."""

    async def post(self, instance_id: str, control: Control) -> None:
        self._mail.setdefault(instance_id, deque(maxlen=MAILBOX_LIMIT)).append(control)
        self._waiters.wake(instance_id)

    async def collect(self, instance_id: str, limit: int = 100) -> list[Control]:
        mail = self._mail.get(instance_id)
        if mail is None:
            return []
        taken = [mail.popleft() for _ in range(min(limit, len(mail)))]
        if not mail:
            del self._mail[instance_id]
        return taken

    async def wait(self, instance_id: str, timeout_s: float) -> None:
        if instance_id not in self._mail and not self._is_closed:
            await self._waiters.wait(instance_id, timeout_s)

    def poke(self, instance_id: str) -> None:
        self._waiters.wake(instance_id)

    def drop(self, instance_id: str) -> None:
        self._mail.pop(instance_id, None)

    async def ask(
        self, instance_id: str, control: Control, timeout_s: float
    ) -> dict[str, Any] | None:
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._questions[control["reqid"]] = future
        try:
            await self.post(instance_id, control)
            await asyncio.wait((future,), timeout=timeout_s)
            return future.result() if future.done() else None
        finally:
            future.cancel()
            del self._questions[control["reqid"]]

    async def answer(self, reqid: str, body: dict[str, Any]) -> bool:
        future = self._questions.get(reqid)
        if future is None or future.done():
            return False
        future.set_result(body)
        return True

    async def exchange(self, seen: list[Sighting]) -> list[Sighting]:
        return []

    async def shared(self, name: str, own: str) -> str:
        return own

    async def close(self) -> None:
        self._is_closed = True
        self._waiters.wake_all()
