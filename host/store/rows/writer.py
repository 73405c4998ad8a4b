"""Group commit: the rules that came together are written together, by a thread of its own.

Invariants: nobody hears of a change before it is on disk, but of what a running command puts out
after its first words: that is there within LATER_S; the event loop never waits for the disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from host.store.protocol import StoreUnavailable
from host.store.rows.alive import Alive
from host.store.rows.database import Database

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

LATER_S = 0.9
ENOUGH_FOR_A_BATCH = 256


class Writer:
    """Carries out rules on what lives, and has the database keep what they did."""

    def __init__(self, alive: Alive, database: Database) -> None:
        self._alive = alive
        self._database = database
        self._thread = ThreadPoolExecutor(1, "store")
        self._batch: list[tuple[Callable[[Alive], Any], asyncio.Future[Any]]] = []
        self._wanted = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False
        self._fault = ""

    async def open(self) -> None:
        """Raises StoreUnavailable."""
        self._alive.load(await self.in_thread(self._database.open))
        self._task = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Write what there is, then let go of the database; whatever comes later is refused."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._wanted.set()
            await self._task
            try:
                await self._run(self._database.close)
            except StoreUnavailable as error:
                _log.error("%s", error)
        self._thread.shutdown(wait=False)

    def do(self, rule: Callable[[Alive], _T]) -> asyncio.Future[_T]:
        """Carry out a rule; the future has its result, or raises what it raised."""
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        if self._is_closed or self._task is None:
            future.set_exception(StoreUnavailable("the store is closed"))
        else:
            self._batch.append((rule, future))
            self._wanted.set()
        return future

    async def in_thread(self, job: Callable[[], _T]) -> _T:
        """Where the database lives. Raises StoreUnavailable."""
        if self._is_closed:
            raise StoreUnavailable("the store is closed")
        return await self._run(job)

    def _run(self, job: Callable[..., _T], *values: Any) -> asyncio.Future[_T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, job, *values)

    async def _write(self) -> None:
        while not self._is_closed or self._batch:
            await self._wanted.wait()
            await self._gather()
            self._wanted.clear()
            batch, self._batch = self._batch, []
            results = [self._result(rule) for rule, _ in batch]
            refusal = await self._keep()
            for (_, future), result in zip(batch, results, strict=True):
                _settle(future, refusal or result)
            del batch, results  # and the payloads in them

    async def _gather(self) -> None:
        """Let a batch grow for as long as each turn of the event loop brings more: a transaction of
        many costs little more than one of few."""
        before = -1
        while before < len(self._batch) < ENOUGH_FOR_A_BATCH:
            before = len(self._batch)
            await asyncio.sleep(0)

    def _result(self, rule: Callable[[Alive], Any]) -> Any:
        try:
            return rule(self._alive)
        except Exception as refusal:  # raised before it changed anything
            return refusal

    async def _keep(self) -> StoreUnavailable | None:
        """Have it written; why it could not be."""
        try:
            if (work := self._alive.work()) is not None:
                await self._run(self._database.write, work)
        except Exception as error:
            self._alive.undo()
            self.note_fault(error)
            self._save_later()
            return StoreUnavailable(str(error))
        if self._fault and work is not None:
            _log.warning("the store can be written to again")
            self._fault = ""
        self._alive.confirm()
        self._save_later()
        return None

    def note_fault(self, error: Exception) -> None:
        """It is said once, until it is over."""
        if not self._fault:
            is_expected = isinstance(error, StoreUnavailable)
            text = "%s; nothing is accepted until it can be written to"
            _log.error(text, error, exc_info=None if is_expected else error)
        self._fault = str(error)

    def _save_later(self) -> None:
        if self._alive.unsaved and self._timer is None and not self._is_closed:
            self._timer = asyncio.get_running_loop().call_later(LATER_S, self._save)

    def _save(self) -> None:
        self._timer = None
        self.do(Alive.must_save)


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    """Whoever asked may have left."""
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
        future.exception()  # not everybody waits for it
    else:
        future.set_result(result)
