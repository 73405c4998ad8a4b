"""Group commit: the rules that came together are carried out together, by a thread of its own.

Invariants: nobody hears of a change before the database says that it stands; the event loop never
waits for the disk; what was not held for the disk is on it within LATER_S.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from host.commands import Command
from host.store.protocol import StoreUnavailable
from host.store.rows.database import Database, Done, Rule
from host.store.rows.tables import Tables

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

LATER_S = 0.9
ENOUGH_FOR_A_BATCH = 256


class Writer:
    """`heard(done)` is called with what was done before anybody gets a result of it."""

    def __init__(self, database: Database, heard: Callable[[Done], None]) -> None:
        self._database = database
        self._heard = heard
        self._thread = ThreadPoolExecutor(1, "store")
        self._batch: list[tuple[Rule, asyncio.Future[Any]]] = []
        self._wanted = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False
        self._fault = ""

    async def open(self) -> list[Command]:
        """The commands that live. Raises StoreUnavailable."""
        live = await self.in_thread(self._database.open)
        self._task = asyncio.create_task(self._write())
        return live

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
                await self.in_thread(self._database.close)
            except StoreUnavailable as error:
                _log.error("%s", error)
        self._thread.shutdown(wait=False)

    def do(self, rule: Callable[[Tables], _T]) -> asyncio.Future[_T]:
        """Carry out a rule; the future has its result, or raises what it raised."""
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        if self._is_closed or self._task is None:
            future.set_exception(StoreUnavailable("the store is closed"))
        else:
            self._batch.append((rule, future))
            self._wanted.set()
        return future

    async def in_thread(self, job: Callable[[], _T]) -> _T:
        """Where the database lives."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

    async def _write(self) -> None:
        while not self._is_closed or self._batch:
            await self._wanted.wait()
            await self._gather()
            self._wanted.clear()
            batch, self._batch = self._batch, []
            if batch:
                await self._carry_out(batch)

    async def _gather(self) -> None:
        """Let a batch grow for as long as each turn of the event loop brings more: a transaction of
        many costs little more than one of few."""
        before = -1
        while before < len(self._batch) < ENOUGH_FOR_A_BATCH:
            before = len(self._batch)
            await asyncio.sleep(0)

    async def _carry_out(self, batch: list[tuple[Rule, asyncio.Future[Any]]]) -> None:
        rules = [rule for rule, _ in batch]
        try:
            done = await self.in_thread(lambda: self._database.run(rules))
        except Exception as error:
            self._failed(error)
            refusal = error if isinstance(error, StoreUnavailable) else StoreUnavailable(str(error))
            results: list[Any] = [refusal] * len(batch)
        else:
            self._went_well()
            self._heard(done)
            results = done.results
        for (_, future), result in zip(batch, results, strict=True):
            _settle(future, result)
        if self._database.has_uncommitted and self._timer is None and not self._is_closed:
            self._timer = asyncio.get_running_loop().call_later(LATER_S, self._commit_later)

    def _commit_later(self) -> None:
        self._timer = None
        self.do(Tables.hold)

    def _failed(self, error: Exception) -> None:
        if not self._fault:
            self._fault = str(error)
            is_expected = isinstance(error, StoreUnavailable)
            trace = None if is_expected else error
            _log.error("%s; nothing is accepted until it can be written to", error, exc_info=trace)

    def _went_well(self) -> None:
        if self._fault and not self._database.has_uncommitted:
            _log.warning("the store can be written to again")
            self._fault = ""


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    """Whoever asked may have left."""
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
        future.exception()  # not everybody waits for it
    else:
        future.set_result(result)
