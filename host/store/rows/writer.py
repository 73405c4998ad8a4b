"""Group commit: what rules did together is written together, by a thread of its own.

Invariants: nobody hears of a change before it is on disk, but of what a running command puts out
after its first words: that is there within LATER_S; the event loop never waits for the disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from host.store.protocol import StoreUnavailable
from host.store.rows.alive import Alive
from host.store.rows.database import Database
from host.store.rows.tables import Tables

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

LATER_S = 0.9
ENOUGH_FOR_A_BATCH = 256
TURNS_IN_VAIN = 4


class Writer:
    """Has the database keep what rules did: they are carried out in `async with writer`.

    What they did stands when whoever asked has left. The block ends when all is on disk, or raises
    StoreUnavailable: then it is undone, and what is wrong may have been so because of it.
    """

    def __init__(self, alive: Alive, database: Database) -> None:
        self._alive, self._database = alive, database
        self._thread = ThreadPoolExecutor(1, "store")
        self._waiting: list[asyncio.Future[None]] = []
        self.wanted = asyncio.Event()  # there is something to write
        self._tasks: list[asyncio.Task[None]] = []
        self.is_open = False
        self._fault = ""

    async def open(self, tidy: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """`tidy` runs until the close. Raises StoreUnavailable."""
        await self._run(self._database.open)
        self.is_open = True
        self._tasks = [asyncio.create_task(one()) for one in (self._write, self._save, tidy)]

    async def close(self) -> None:
        """Write what there is, then let go of the database; whatever comes later is refused."""
        if not self.is_open:
            return
        self.is_open = False
        self.wanted.set()
        for one in self._tasks[1:]:
            one.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await self._run(self._database.close)
        except StoreUnavailable as error:
            _log.error("%s", error)
        self._thread.shutdown(wait=False)

    async def __aenter__(self) -> None:
        self._check_open()

    async def __aexit__(self, *_: object) -> None:
        self._check_open()
        written = asyncio.get_running_loop().create_future()
        self._waiting.append(written)
        self.wanted.set()
        await written

    async def in_thread(self, job: Callable[[Tables], _T]) -> _T:
        """Where the tables live. Raises StoreUnavailable."""
        self._check_open()
        return await self._run(self._database.run, job)

    def _check_open(self) -> None:
        if not self.is_open:
            raise StoreUnavailable("the store is closed")

    def _run(self, job: Callable[..., _T], *values: Any) -> asyncio.Future[_T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, job, *values)

    async def _write(self) -> None:
        while self.is_open or self._waiting:
            await self.wanted.wait()
            await self._gather()
            self.wanted.clear()
            waiting, self._waiting = self._waiting, []
            refusal = await self._keep()
            if refusal is not None:  # what came meanwhile is undone too
                waiting, self._waiting = waiting + self._waiting, []
            for one in waiting:
                if not one.done():  # whoever asked may have left
                    one.set_exception(refusal) if refusal else one.set_result(None)

    async def _gather(self) -> None:
        """Let a batch grow for as long as the next turns of the event loop bring more: a turn costs
        far less than the way to the thread, and a transaction of many little more than one of few.
        """
        turns, before = 0, 0
        while turns < TURNS_IN_VAIN and len(self._waiting) < ENOUGH_FOR_A_BATCH:
            turns = turns + 1 if len(self._waiting) == before else 0
            before = len(self._waiting)
            await asyncio.sleep(0)

    async def _keep(self) -> StoreUnavailable | None:
        """Have it written; why it could not be. The log says that once, until it is over."""
        changes = self._alive.begin()
        try:
            if changes.rows or changes.news:
                await self._run(self._database.run, lambda tables: tables.write(changes))
                if self._fault:
                    _log.warning("the store can be written to again")
                    self._fault = ""
        except Exception as error:
            self._alive.undo()
            if not self._fault:
                text = "%s; nothing is accepted until it can be written to"
                _log.error(text, error, exc_info=not isinstance(error, StoreUnavailable))
            self._fault = str(error)
            return StoreUnavailable(self._fault)
        self._alive.confirm()
        return None

    async def _save(self) -> None:
        """Now and then, what nobody waits for."""
        while True:
            await asyncio.sleep(LATER_S)
            if self._alive.unsaved:
                self._alive.must_save()
                self.wanted.set()
