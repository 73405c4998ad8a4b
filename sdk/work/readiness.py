"""Whether the module is ready for work."""

from __future__ import annotations

import asyncio


class Readiness:
    """Whether `initialise()` and `selftest()` are done, and how they went. It is settled once."""

    def __init__(self) -> None:
        self._done = asyncio.Event()
        self._is_testing = False
        self._is_draining = False
        self.error: str | None = None

    @property
    def state(self) -> str:
        """loading, testing, then ready or failed; draining when it takes no more commands."""
        if not self._done.is_set():
            return "testing" if self._is_testing else "loading"
        if self._is_draining:
            return "draining"
        return "ready" if self.error is None else "failed"

    def begin_test(self) -> None:
        """It is loaded, and tests itself now."""
        self._is_testing = True

    def begin_draining(self) -> None:
        """It finishes what it has, and ends then."""
        self._is_draining = True

    def settle(self, error: str | None) -> None:
        """`error` is why the module cannot work, None if it can."""
        self.error = error
        self._done.set()

    async def wait(self) -> None:
        await self._done.wait()
