"""Group commit: all changes that wait are written in one transaction, by a thread of its own.

Invariants: a change is confirmed after the commit that holds it, in the order of the changes; the
event loop never waits for the disk; what was only noted is written within NOTED_WITHIN_S, and never
over a later record.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from host.commands import Command
from host.store.disk import CommandDisk, DiskBroken, Kept
from host.store.protocol import StoreUnavailable

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

NOTED_WITHIN_S = 0.9
TIDY_EVERY_S = 10.0
ENOUGH_FOR_A_BATCH = 256


@dataclass
class _Batch:
    """What goes into one transaction; all who wait for it share one future."""

    done: asyncio.Future[None]
    saved: dict[str, Command] = field(default_factory=dict)
    erased: dict[str, Command] = field(default_factory=dict)
    tallies: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def has_content(self) -> bool:
        return bool(self.saved or self.erased or self.tallies)


class Journal:
    """A shelf (host.store.shelf) on a disk.

    A command that is known to be short and has no idempotency key is not written: who asked for it
    waits on the connection, and is gone when this process is.
    """

    def __init__(self, disk: CommandDisk) -> None:
        self._disk = disk
        self._live: Mapping[str, Command] = {}
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._reader = ThreadPoolExecutor(1, "store-reader")
        self._batch: _Batch
        self._writing: _Batch | None = None
        self._noted: set[str] = set()
        self._tallies: dict[str, Mapping[str, Any]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False
        self._fault = ""
        self._must_scrub = False
        self._tidy_timer: asyncio.TimerHandle | None = None

    async def open(self, live: Mapping[str, Command]) -> Kept:
        """Read what was kept; `live` is where the store has its records from now on.

        Raises StoreUnavailable.
        """
        self._live = live
        self._batch = self._new_batch()
        kept = await self._in(self._writer, self._disk.open)
        self._task = asyncio.create_task(self._write())
        self._wanted.set()  # tidy what became old meanwhile
        return kept

    async def close(self) -> None:
        """Write what is noted, then let go of the disk; later changes are refused."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._task is not None:
            self._write_noted()
            await self._task
            await self._in(self._reader, self._disk.close)
            await self._in(self._writer, self._disk.close)
        for timer in (self._timer, self._tidy_timer):
            if timer is not None:
                timer.cancel()
        self._writer.shutdown(wait=False)
        self._reader.shutdown(wait=False)

    # -- the shelf ----------------------------------------------------------------------------

    def save(self, command: Command) -> asyncio.Future[None]:
        """See Shelf."""
        if not _outlives_process(command):
            return _confirmed()
        self._noted.discard(command.id)
        return self._change(lambda batch: batch.saved.__setitem__(command.id, command))

    def erase(self, command: Command) -> asyncio.Future[None]:
        """See Shelf."""
        if not _outlives_process(command):
            return _confirmed()
        return self._change(lambda batch: batch.erased.__setitem__(command.id, command))

    def note(self, command: Command) -> None:
        """See Shelf."""
        if _outlives_process(command):
            self._noted.add(command.id)
            self._remind()

    def note_tally(self, queue: str, tally: Mapping[str, Any]) -> None:
        """See Shelf."""
        self._tallies[queue] = tally
        self._remind()

    async def load(self, command_id: str) -> Command | None:
        """See Shelf."""
        return await self._in(self._reader, lambda: self._disk.load(command_id))

    async def load_first(self, idempotency_key: str) -> Command | None:
        """See Shelf."""
        return await self._in(self._reader, lambda: self._disk.load_first(idempotency_key))

    # -- writing ------------------------------------------------------------------------------

    def _change(self, put: Callable[[_Batch], None]) -> asyncio.Future[None]:
        if self._is_closed or self._task is None:
            refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            refused.set_exception(StoreUnavailable("the store is closed"))
            return refused
        put(self._batch)
        self._wanted.set()
        return self._batch.done

    def _remind(self) -> None:
        if self._timer is None and not self._is_closed:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(NOTED_WITHIN_S, self._write_noted)

    def _write_noted(self) -> None:
        """Put what is noted into the next transaction, as it is now."""
        self._timer = None
        writing = self._writing.saved if self._writing is not None else {}
        later = self._noted & writing.keys()  # a newer record of these may be under way
        for command_id in self._noted - later:
            command = self._live.get(command_id)
            if command is not None and not command.state.is_terminal:
                self._batch.saved.setdefault(command_id, _as_it_is(command))
        self._batch.tallies.update(self._tallies)
        self._noted = later
        self._tallies = {}
        if later:
            self._remind()
        self._wanted.set()

    async def _write(self) -> None:
        try:
            while not self._is_closed or self._wanted.is_set():
                await self._wanted.wait()
                await self._gather()
                self._wanted.clear()
                self._writing, self._batch = self._batch, self._new_batch()
                if self._writing.has_content:
                    await self._commit(self._writing)
                self._writing = None
                await self._tidy()
        finally:  # cancelled: whoever waits for a commit is not to wait for ever
            self._is_closed = True
            for batch in (self._writing, self._batch):
                if batch is not None and batch.has_content and not batch.done.done():
                    self._failed(batch, StoreUnavailable("the store has been stopped"))

    async def _gather(self) -> None:
        """Let a batch grow for as long as each turn of the event loop brings more: a transaction of
        many costs little more than one of few."""
        before = -1
        while before < len(self._batch.saved) < ENOUGH_FOR_A_BATCH:
            before = len(self._batch.saved)
            await asyncio.sleep(0)

    async def _commit(self, batch: _Batch) -> None:
        try:
            try:
                await self._in_writer(
                    lambda: self._disk.write(
                        batch.saved.values(), batch.erased.values(), batch.tallies
                    )
                )
            except DiskBroken as damage:
                await self._begin_anew(batch, str(damage))
        except Exception as error:
            self._failed(batch, error)
        else:
            if self._fault:
                _log.warning("the store can be written to again")
                self._fault = ""
            self._must_scrub = self._must_scrub or bool(batch.erased)
            batch.done.set_result(None)

    async def _begin_anew(self, batch: _Batch, damage: str) -> None:
        """Write all that memory has, and this batch, into a new database."""
        records = {
            command.id: _as_it_is(command)
            for command in self._live.values()
            if _outlives_process(command) and command.id not in batch.erased
        }
        records.update(batch.saved)
        await self._in_writer(lambda: self._disk.start_anew(records.values(), damage))

    def _failed(self, batch: _Batch, error: Exception) -> None:
        if not self._fault:
            self._fault = str(error)
            is_expected = isinstance(error, StoreUnavailable)
            _log.error(
                "%s; nothing is accepted until it can be written to",
                error,
                exc_info=None if is_expected else error,
            )
        self._noted.update(batch.saved)  # of those that live, the text may not be on disk yet
        self._tallies = {**batch.tallies, **self._tallies}
        self._remind()
        refusal = error if isinstance(error, StoreUnavailable) else StoreUnavailable(str(error))
        batch.done.set_exception(refusal)
        batch.done.exception()  # not everybody who noted something waits for it

    async def _tidy(self) -> None:
        try:
            if self._must_scrub:
                await self._in_writer(self._disk.scrub)
                self._must_scrub = False
            if self._tidy_timer is None:
                has_more = await self._in_writer(self._disk.tidy)
                loop = asyncio.get_running_loop()
                pause_s = 0 if has_more else TIDY_EVERY_S
                self._tidy_timer = loop.call_later(pause_s, self._tidy_again)
        except StoreUnavailable as error:
            _log.warning("%s", error)

    def _tidy_again(self) -> None:
        self._tidy_timer = None
        self._wanted.set()

    def _new_batch(self) -> _Batch:
        return _Batch(asyncio.get_running_loop().create_future())

    async def _in_writer(self, job: Callable[[], _T]) -> _T:
        return await self._in(self._writer, job)

    async def _in(self, thread: ThreadPoolExecutor, job: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(thread, job)


def _outlives_process(command: Command) -> bool:
    return command.is_long is not False or command.idempotency_key is not None


def _as_it_is(command: Command) -> Command:
    """A copy that does not grow while it is written."""
    snapshot = copy.copy(command)
    snapshot.fields = dict(command.fields)
    return snapshot


def _confirmed() -> asyncio.Future[None]:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done
