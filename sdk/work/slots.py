"""How many commands may run at once, and whose turn it is.

Invariant: turns are given in the order they were asked for, and never more than `limit` at once,
except those given, or just waited for, when the limit was lowered.
"""

from __future__ import annotations

import asyncio
from collections import deque


class Slots:
    def __init__(self, limit: int) -> None:
        self._limit = max(1, limit)
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        return self._limit

    @property
    def busy(self) -> int:
        return self._busy

    @property
    def is_free(self) -> bool:
        return self._busy < self._limit and not self._waiting

    def lower_limit(self, limit: int) -> None:
        self._limit = max(1, min(self._limit, limit))

    async def wait_free(self) -> None:
        """Returns when a turn may be taken, without taking it."""
        await self.acquire()
        self.release()

    def take(self) -> None:
        """Takes a turn at once, for the only one who waits with `wait_free()`."""
        self._busy += 1

    async def acquire(self) -> None:
        """Waits for a turn; the caller releases it."""
        if self.is_free:
            self._busy += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # the turn had come just before: pass it on
            raise

    def release(self) -> None:
        self._busy -= 1
        while self._waiting and self._busy < self._limit:
            turn = self._waiting.popleft()
            if not turn.done():
                self._busy += 1
                turn.set_result(None)
