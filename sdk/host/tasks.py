"""Small asyncio helpers: owned tasks, a wake-up call from any thread, growing pauses.

Invariant: every task started here is awaited by its owner, and its failure is logged.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


class TaskSet:
    """Background tasks with one owner."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def wait(self, timeout_s: float) -> bool:
        """Waits until all have ended; False if some still run after `timeout_s`."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=timeout_s)
        return not self._tasks

    async def cancel(self) -> None:
        for task in set(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=1)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a background task failed", exc_info=error)


class Wake:
    """Any thread calls `ring()`; one coroutine waits. Many rings before it looks are one."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._lock = threading.Lock()
        self._is_ringing = False

    def ring(self) -> None:
        with self._lock:
            if self._is_ringing:
                return
            self._is_ringing = True
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more

    async def wait(self, timeout_s: float) -> bool:
        """True if it rang, False after `timeout_s`."""
        # Not wait_for(): before Python 3.12 it loses a cancel that comes together with the event.
        waiter = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait({waiter}, timeout=timeout_s)
        finally:
            waiter.cancel()
        if not self._event.is_set():
            return False
        self._event.clear()
        with self._lock:
            self._is_ringing = False
        return True


class Backoff:
    """Pauses that double from 0.1 s to 5 s, with jitter lest many modules come at once."""

    def __init__(self) -> None:
        self._next_s = FIRST_PAUSE_S

    def reset(self) -> None:
        self._next_s = FIRST_PAUSE_S

    def next_pause_s(self) -> float:
        pause_s = self._next_s * random.uniform(0.75, 1.0)  # noqa: S311 - jitter, no secret
        self._next_s = min(LONGEST_PAUSE_S, self._next_s * 2)
        return pause_s

    async def pause(self) -> None:
        await asyncio.sleep(self.next_pause_s())
