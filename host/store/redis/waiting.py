"""The time that somebody waits for a change, of which he is told by an listener."""

from __future__ import annotations

import asyncio

from host.store.redis.subscriber import Listener

LOOK_AGAIN_S = 30.0  # waiters are woken; this is for what nobody has thought of
AWAY_PAUSE_S = 0.5  # between the tries of a waiter while Redis is away


class Waiting:
    """Begins when it is made."""

    def __init__(self, listener: Listener, timeout_s: float) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._ends_at = self._loop.time() + timeout_s

    @property
    def _left_s(self) -> float:
        return self._ends_at - self._loop.time()

    async def has_rung(self) -> bool:
        """True when it is time to look again; False when the time is over."""
        if self._left_s <= 0:
            return False
        return await self._listener.wait(min(self._left_s, LOOK_AGAIN_S)) or self._left_s > 0

    async def has_paused(self) -> bool:
        """Pause while Redis is away; False when the time is over."""
        if self._left_s <= 0:
            return False
        await asyncio.sleep(min(self._left_s, AWAY_PAUSE_S))
        return True
