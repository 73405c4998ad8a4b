"""Waiting for a change without spinning: futures by key, on one event loop."""

from __future__ import annotations

import asyncio


class Wakeups:
    """Futures that wait on a key; waking a key wakes them all, or the one that waits longest."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[asyncio.Future[None], None]] = {}

    def wake(self, key: str) -> None:
        for future in self._waiting.pop(key, ()):
            if not future.done():
                future.set_result(None)

    def wake_one(self, key: str) -> bool:
        """True when somebody was there who had not been woken yet."""
        for future in self._waiting.get(key, ()):
            if not future.done():
                future.set_result(None)
                return True
        return False

    def wake_all(self) -> None:
        for key in list(self._waiting):
            self.wake(key)

    async def wait(self, key: str, timeout_s: float) -> bool:
        """True when woken, False when the time was over."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(key, {})
        waiting[future] = None
        try:
            # not wait_for: that one may swallow a cancellation which comes with the wake-up
            await asyncio.wait((future,), timeout=timeout_s)
            return future.done()
        finally:
            future.cancel()
            waiting.pop(future, None)
            if not waiting and self._waiting.get(key) is waiting:
                del self._waiting[key]


async def until_set(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for an event; False when the time was over first."""
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((waiting,), timeout=timeout_s)
        return event.is_set()
    finally:
        waiting.cancel()
