"""What Redis may hold: beyond it the oldest ended commands leave, and then no command begins.

Invariant: what waits or runs is never dropped for its size, and can always end.
"""

from __future__ import annotations

import asyncio
import contextlib

from host.store.protocol import StoreUnavailable
from host.store.redis.client import RedisClient

TIDY_EVERY_S = 5.0


class MemoryBound:
    """Keeps Redis within `max_bytes`, or nine tenths of its own maxmemory; None: that alone."""

    def __init__(self, client: RedisClient, max_bytes: float | None, keep_s: int) -> None:
        self._client = client
        self._max_bytes = None if max_bytes is None else max(1, int(max_bytes))
        self._keep_s = keep_s
        self._task: asyncio.Task[None] | None = None
        self.trouble = ""
        """Why no command may begin."""

    def open(self) -> None:
        """Look now and then."""
        self._task = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(TIDY_EVERY_S)
            with contextlib.suppress(StoreUnavailable):
                while await self.tidy():
                    pass

    async def tidy(self) -> bool:
        """Forget the oldest ended commands beyond the bound; True when there is more to forget."""
        used, bound, has_more = await self._client.call("tidy", self._max_bytes or "", self._keep_s)
        is_beyond = bound and used > bound and not has_more
        self.trouble = self._words(used / 2**20, bound / 2**20) if is_beyond else ""
        return bool(has_more)

    def _words(self, used_mb: float, bound_mb: float) -> str:
        return (
            f"Redis at {self._client.place} uses {used_mb:.1f} MB of memory, more than the "
            f"{bound_mb:.1f} MB that it may (StoreMaxMB, or nine tenths of its maxmemory): "
            "commands can end and be deleted, none can begin"
        )
