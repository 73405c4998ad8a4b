"""The tables, kept usable whatever happens to their files.

Invariant: a full disk gives up the reserve; tables that are damaged or gone are begun anew, with
what can be read of them and all that lives.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from host.commands import State
from host.store.protocol import StoreUnavailable
from host.store.rows.alive import Alive
from host.store.rows.files import StoreFiles, is_damage, is_full
from host.store.rows.tables import Durability, Tables

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_TRIES = 3  # with the reserve's space, with tables begun anew


class _Removed(OSError):
    """SQLite would go on with a file that nobody can find."""


class Database:
    """`folder` None: in memory. `alive` has what is to be written again to tables begun anew."""

    def __init__(self, folder: Path | None, durability: Durability, alive: Alive) -> None:
        self._files = None if folder is None else StoreFiles(folder)
        self._durability = durability
        self._alive = alive
        self._tables: Tables | None = None
        self.is_full = False

    def open(self) -> None:
        """Open or make the tables, and load what lives. Raises StoreUnavailable.

        Damaged ones are set aside; a full disk is no reason not to read what there is.
        """
        self.run(Tables.load)
        try:
            self.run(Tables.save)
        except StoreUnavailable as error:
            _log.error("%s: what there is can be read", error)
        self.restore_reserve()

    def close(self) -> None:
        """Put everything into the tables, and let go of the files. Raises StoreUnavailable."""
        try:
            self.run(Tables.save)
        finally:
            if self._tables is not None:
                self._tables.close()

    def restore_reserve(self) -> None:
        """Keep space for the end of what lives, or notice that there is some again."""
        self.is_full = self._files is not None and not self._files.restore_reserve()

    def run(self, job: Callable[[Tables], _T]) -> _T:
        """Do it with the tables; what can be mended is mended, and tried again.

        Raises StoreUnavailable.
        """
        fault: Exception | None = None
        for _ in range(_TRIES):
            try:
                if fault is not None and not self._is_mended(fault):
                    break
                tables = self._opened()
                found = job(tables)
                if self.is_full:
                    tables.empty_log()
                return found
            except (sqlite3.Error, OSError) as error:
                fault = error
        place = self._files.folder if self._files else "memory"
        raise StoreUnavailable(f"cannot write to the store in {place}: {fault}") from fault

    def _opened(self) -> Tables:
        if self._tables is None:
            self._tables = Tables(self._files, self._durability, self._alive)
        elif self._files is not None and not self._files.database.exists():
            raise _Removed("it was removed")
        return self._tables

    def _is_mended(self, error: Exception) -> bool:
        """Whether it is worth another try."""
        if self._files is None:
            return False
        if is_full(error):
            self.is_full = True
            return self._files.release_reserve()
        if isinstance(error, _Removed) or is_damage(error):
            self._begin_anew(self._files, error)
            return True
        return False

    def _begin_anew(self, files: StoreFiles, reason: object) -> None:
        old = self._tables
        files.set_aside(reason)
        self._tables = Tables(self._files, self._durability, self._alive)
        if old is not None:
            self._tables.copy_from(old)
            old.close()
            self._tables.save(State.QUEUED)
