"""The end of a host that is replaced: nothing is begun any more, what runs ends, then it goes.

Invariant: `done` is set once, and only while nothing runs that this host is needed for, or when the
time for that is over.
"""

from __future__ import annotations

import asyncio
import math
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
        self._within_s = math.inf
        self._ends_at = math.inf  # by the event loop's clock
        self.patience = ""
        """How long was waited for what is cut off now, to be added to the reason."""
        self.done = asyncio.Event()

    @property
    def is_on(self) -> bool:
        return self._task is not None

    def begin(self, within_s: float | None = None) -> None:
        """Claim nothing from now on; `done` is set when nothing runs, or after `within_s`.

        A second call changes nothing but that time.
        """
        if within_s is not None:
            self._within_s = within_s
            self._ends_at = asyncio.get_running_loop().time() + within_s
        if self._task is None:
            limit = "" if within_s is None else f"; what runs has {within_s:g} s to end"
            self._log.add(f"draining: nothing is begun any more{limit}", category="host")
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
        while not await self._is_idle():
            if asyncio.get_running_loop().time() >= self._ends_at:
                self.patience = f", and had not ended {self._within_s:g} s later (DrainSecs)"
                self._log.add(f"what runs{self.patience}: it is stopped", category="host")
                break
            await asyncio.sleep(LOOK_EVERY_S)
        else:
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
