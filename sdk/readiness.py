"""Whether the module is ready for work."""

from __future__ import annotations

import asyncio


class Readiness:
    """Whether `initialise()` is done, and how it went. It is settled once."""

    def __init__(self) -> None:
        self._done = asyncio.Event()
        self.error: str | None = None

    @property
    def state(self) -> str:
        if not self._done.is_set():
            return "loading"
        return "ready" if self.error is None else "failed"

    def settle(self, error: str | None) -> None:
        """`error` is why the module cannot work, None if it can."""
        self.error = error
        self._done.set()

    async def wait(self) -> None:
        await self._done.wait()
