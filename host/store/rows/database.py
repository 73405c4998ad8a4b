"""One SQLite database and its one open transaction: what is committed when, and what may go wrong.

Invariants: only one thread works here; what `run` has returned is on disk, or in the open
transaction and in the log of statements, from which it is written again when a commit fails.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from host.commands import Command, CommandError, State
from host.store.protocol import QueueFull, StoreUnavailable
from host.store.rows import rules
from host.store.rows.files import StoreFiles, is_damage, is_full
from host.store.rows.old_store import take_over
from host.store.rows.records import BrokenRecord, command_of
from host.store.rows.schema import TABLES, prepare
from host.store.rows.tables import Change, Tables

_log = logging.getLogger(__name__)

Durability = Literal["process", "power"]
Rule = Callable[[Tables], Any]

_SYNCHRONOUS = {"process": "NORMAL", "power": "FULL"}  # https://sqlite.org/pragma.html
_FAULTS = (sqlite3.Error, OSError)
_REFUSALS = (CommandError, QueueFull, StoreUnavailable)


class _Removed(OSError):
    """SQLite would go on with a file that nobody can find."""


class Done(NamedTuple):
    """What some rules did: of each its result, or the exception that it raised, in their order."""

    results: list[Any]
    changes: list[Change]
    live: list[Command] | None = None  # all that live, where the database is another one now


class Database:
    """`folder` None: in memory."""

    def __init__(self, folder: Path | None, durability: Durability) -> None:
        self._files = None if folder is None else StoreFiles(folder)
        self._durability = durability
        self._tables = Tables()
        self._is_behind = False  # what the log has is not in the transaction

    @property
    def has_uncommitted(self) -> bool:
        return bool(self._tables.log)

    def open(self) -> list[Command]:
        """Open or make the database; the commands that live. Raises StoreUnavailable.

        A damaged one is set aside; a full disk is no reason not to read what there is.
        """
        try:
            try:
                self._open()
                live = self._live()
            except sqlite3.Error as error:
                if self._files is None or not is_damage(error):
                    raise
                self._begin_anew(error)
                live = self._live()
        except _FAULTS as error:
            raise self._unavailable("open", error) from error
        try:
            self.run([rules.forget_short])
        except StoreUnavailable as error:
            _log.error("%s: what there is can be read", error)
        self.restore_reserve()
        return live

    def run(self, batch: Sequence[Rule]) -> Done:
        """Carry out rules, in one transaction with what is open. Raises StoreUnavailable, and then
        nothing of it has happened."""
        before, live = len(self._tables.log), None
        while True:
            try:
                self._catch_up()
                return self._run(batch)._replace(live=live)
            except Exception as error:
                self._undo(before)
                if not isinstance(error, _FAULTS):
                    raise
                is_new = self._mended(error)
                if is_new is None:
                    raise self._unavailable("write to", error) from error
                if is_new:
                    before, live = 0, self._live()

    def close(self) -> None:
        """Write what is open, and let go of the files."""
        try:
            self.run([Tables.hold])
        finally:
            self._tables.connection.close()

    def restore_reserve(self) -> None:
        """Keep space for the end of what lives, or notice that there is some again."""
        if self._files is not None:
            self._tables.is_full = not self._files.restore_reserve()

    # -- transactions -------------------------------------------------------------------------

    def _run(self, batch: Sequence[Rule]) -> Done:
        tables = self._tables
        results: list[Any] = []
        for rule in batch:
            try:
                results.append(rule(tables))
            except _REFUSALS as refusal:  # raised before it wrote anything
                results.append(refusal)
        if tables.must_commit:
            self._commit()
        done = Done(results, tables.changes)
        tables.changes = []
        return done

    def _commit(self) -> None:
        tables = self._tables
        if self._files is not None and not self._files.database.exists():
            raise _Removed("it was removed")
        if tables.connection.in_transaction:
            tables.connection.execute("COMMIT")
        tables.log.clear()
        tables.must_commit = False
        if (tables.must_scrub or tables.is_full) and self._files is not None:
            # the write-ahead log has what was erased still; or is to take no space
            tables.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        tables.must_scrub = False

    def _undo(self, before: int) -> None:
        """Go back to where the log had that many statements."""
        tables = self._tables
        del tables.log[before:]
        tables.changes, tables.must_commit, tables.must_scrub = [], False, False
        self._is_behind = True
        with suppress(sqlite3.Error):
            tables.connection.execute("ROLLBACK")

    def _catch_up(self) -> None:
        """After a fault: write again what was done, and is not on disk yet."""
        if not self._is_behind:
            return
        connection = self._tables.connection
        with suppress(sqlite3.Error):  # an earlier try may have ended half-way
            connection.execute("ROLLBACK")
        if self._tables.log:
            connection.execute("BEGIN IMMEDIATE")
        for sql, values in self._tables.log:
            connection.execute(sql, values)
        self._is_behind = False

    def _mended(self, error: Exception) -> bool | None:
        """Whether it is worth another try: True with a new database, None for no."""
        try:
            if self._files is None:
                return None
            if is_full(error):
                self._tables.is_full = True
                return False if self._files.release_reserve() else None
            if isinstance(error, _Removed) or is_damage(error):
                self._begin_anew(error)
                return True
        except _FAULTS as another:
            _log.error("the store cannot be mended: %s", another)
        return None

    # -- opening ------------------------------------------------------------------------------

    def _open(self) -> None:
        place = ":memory:" if self._files is None else str(self._files.database)
        if self._files is not None:
            self._files.make()
        connection = sqlite3.connect(place, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._tables.connection = connection
        if self._files is not None:
            take_over(self._tables, self._files)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        for pragma in (
            "locking_mode = EXCLUSIVE",  # and no shared memory: a full disk can be opened
            "journal_mode = WAL",
            f"synchronous = {_SYNCHRONOUS[self._durability]}",
            "secure_delete = ON",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")
        prepare(connection)

    def _begin_anew(self, reason: object) -> None:
        """Set the database aside, and write what can be read of it into a new one."""
        assert self._files is not None  # noqa: S101  one in memory is never damaged
        old = getattr(self._tables, "connection", None)
        self._files.set_aside(reason)
        self._open()
        new = self._tables.connection
        if old is not None and old is not new:
            with suppress(sqlite3.Error):
                old.execute("ROLLBACK")
            new.execute("BEGIN IMMEDIATE")
            for table in TABLES:
                _copy(old, new, table)
            new.execute("COMMIT")
            old.close()

    def _live(self) -> list[Command]:
        rows = self._tables.all("SELECT * FROM commands WHERE state = 'queued'")
        rows += self._tables.all("SELECT * FROM commands WHERE state = 'running'")
        found = []
        for row in sorted(rows, key=lambda row: row["number"]):
            try:
                command = command_of(row)
                if rules.is_short(command):
                    continue  # it ended with the last process
                command.output = self._tables.output(command)
                self._tables.input(command.number)
                found.append(command)
            except BrokenRecord as error:
                self._drop(row, error)
        return found

    def _drop(self, row: sqlite3.Row, error: Exception) -> None:
        if self._files is not None:
            self._files.set_record_aside(row["id"], tuple(row), error)
        rules.drop(self._tables, row["id"], is_waiting=row["state"] == State.QUEUED.value)

    def _unavailable(self, verb: str, error: BaseException) -> StoreUnavailable:
        place = "in memory" if self._files is None else f"in {self._files.folder}"
        return StoreUnavailable(f"cannot {verb} the store {place}: {error}")


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> None:
    """Whatever can be read."""
    try:
        for row in old.execute(f"SELECT * FROM {table}"):  # noqa: S608
            marks = ", ".join("?" * len(row))
            new.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row)  # noqa: S608
    except sqlite3.Error as error:
        _log.error("%s: some rows of the old database could not be read: %s", table, error)
