"""The end of a host that is replaced: nothing is begun any more, what runs ends, then it goes.

Invariant: `done` is set once, and only while nothing runs that this host is needed for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from host.log.ring import LogRing
from host.store.protocol import CommandStore, StoreUnavailable
from host.work.claims import Claims

LOOK_EVERY_S = 0.25


class Draining:
    """`running()` counts what only this host, or its modules, can bring to an end."""

    def __init__(
        self,
        store: CommandStore,
        claims: Claims,
        running: Callable[[], Awaitable[int]],
        log: LogRing,
    ) -> None:
        self._store = store
        self._claims = claims
        self._running = running
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self.done = asyncio.Event()

    @property
    def is_on(self) -> bool:
        return self._task is not None

    def begin(self) -> None:
        """Claim nothing from now on; `done` is set when nothing runs. A second call changes
        nothing."""
        if self._task is None:
            self._log.add("draining: nothing is begun any more", category="host")
            self._claims.close()
            self._task = asyncio.create_task(self._watch())

    async def running(self) -> int:
        """How many commands the end waits for. Raises StoreUnavailable."""
        return await self._running()

    def refusal(self, is_long: bool) -> str | None:
        """Why a command is not accepted here any more; None where it is kept for whoever comes."""
        if not self.is_on or self._store.is_shared or (self._store.is_kept and is_long):
            return None
        return "this host is being shut down, and takes no more commands: ask again in a while"

    async def _watch(self) -> None:
        while True:
            if await self._is_idle():
                break
            await asyncio.sleep(LOOK_EVERY_S)
        self._log.add("drained: nothing runs any more", category="host")
        self.done.set()

    async def _is_idle(self) -> bool:
        try:
            return await self._running() == 0
        except StoreUnavailable:
            return False

    async def close(self) -> None:
        """End the watch."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
