"""One SQLite database and the journal beside it: how it is written, and what may go wrong.

Invariants: only one thread works here; what `write` has returned from is on disk, whole; a full
disk gives up the reserve, and a database that is damaged or gone is begun anew with what lives.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from host.asked import StoredPayload
from host.channels import Output, Piece
from host.commands import Command, State
from host.json_pieces import json_pieces
from host.store.protocol import StoreUnavailable
from host.store.rows.alive import Alive, Found, Totals, Work
from host.store.rows.files import StoreFiles, is_damage, is_full
from host.store.rows.journal import ENOUGH_BYTES, Journal
from host.store.rows.old_store import read_old_store, remove_old_store
from host.store.rows.records import (
    WRITE_COMMAND,
    BrokenRecord,
    command_of,
    row_of,
    stored,
    text_of,
)
from host.store.rows.schema import TABLES, prepare
from host.wire import Payload

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_P = ParamSpec("_P")

Durability = Literal["process", "power"]

_SYNCHRONOUS = {"process": "NORMAL", "power": "FULL"}  # https://sqlite.org/pragma.html
_FAULTS = (sqlite3.Error, OSError)
_TRIMMED_TO = 0.9  # of the bytes allowed, once they are exceeded
_PIECE_CHARS = 2**20  # a reply that a module gives at once is no one row of any size
_AT_ONCE = 500  # commands that leave in one step
_TRIES = 3  # with the reserve's space, with a database begun anew


class _Removed(OSError):
    """SQLite would go on with a file that nobody can find."""


def _guarded(
    job: Callable[Concatenate[Database, _P], _T],
) -> Callable[Concatenate[Database, _P], _T]:
    """What can be mended is mended, and tried again. Raises StoreUnavailable."""

    @wraps(job)
    def tried(self: Database, /, *values: _P.args, **named: _P.kwargs) -> _T:
        return self._try(lambda: job(self, *values, **named))

    return tried


class Database:
    """`folder` None: in memory. `alive` has what is to be written again to one begun anew."""

    def __init__(self, folder: Path | None, durability: Durability, alive: Alive) -> None:
        self._files = None if folder is None else StoreFiles(folder)
        self._durability = durability
        self._alive = alive
        self._db: sqlite3.Connection
        self._is_open = False
        self._journal: Journal | None = None
        self._in_tables: dict[int, int] = {}  # how much of the output of those that live
        self.is_full = False

    def open(self) -> Found:
        """Open or make the database. Raises StoreUnavailable.

        A damaged one is set aside; a full disk is no reason not to read what there is.
        """
        found = self._find()
        try:
            self._put_away(found.commands)
        except StoreUnavailable as error:
            _log.error("%s: what there is can be read", error)
        self.restore_reserve()
        return found

    def close(self) -> None:
        """Put everything into the tables, and let go of the files. Raises StoreUnavailable."""
        try:
            self._put_away(self._alive.kept())
        finally:
            self._db.close()

    def restore_reserve(self) -> None:
        """Keep space for the end of what lives, or notice that there is some again."""
        if self._files is not None:
            self.is_full = not self._files.restore_reserve()

    def _try(self, job: Callable[[], _T]) -> _T:
        fault: Exception | None = None
        for _ in range(_TRIES):
            try:
                if fault is not None and not self._mended(fault):
                    break
                if self._files is not None and self._is_open and not self._files.database.exists():
                    raise _Removed("it was removed")
                found = job()
                if self.is_full:
                    self._empty_log()
                return found
            except _FAULTS as error:
                self._in_tables.clear()
                fault = error
        place = "in memory" if self._files is None else f"in {self._files.folder}"
        raise StoreUnavailable(f"cannot write to the store {place}: {fault}") from fault

    def _mended(self, error: Exception) -> bool:
        """Whether it is worth another try."""
        if self._files is None:
            return False
        if is_full(error):
            self.is_full = True
            return self._files.release_reserve()
        if isinstance(error, _Removed) or is_damage(error):
            self._begin_anew(error)
            return True
        return False

    # -- what the store asks for --------------------------------------------------------------

    @_guarded
    def write(self, work: Work) -> None:
        """When this returns it is on disk; when it raises, nothing of it counts."""
        if self._journal is not None and work.news:
            self._journal.add(work.news)
        if work.commands:
            with self._db as db:
                self._write_rows(work)
                ended = [one for one in work.commands if one.state.is_terminal]
                self._put_output(ended)
                numbers = [(one.number,) for one in ended]
                db.executemany("DELETE FROM files WHERE command = ?", numbers)
        if self._journal is not None:
            self._journal.forget(work.commands)
        if self._journal is not None and self._journal.size > ENOUGH_BYTES:
            self._save(self._alive.kept())

    @_guarded
    def read(self, column: str, value: str) -> Command | None:
        """The command with that id or key; one that cannot be read is as if it were not there."""
        sql = f"SELECT * FROM commands WHERE {column} = ?"  # noqa: S608
        row = self._db.execute(sql, (stored(value),)).fetchone()
        try:
            return self._with_output(command_of(row)) if row else None
        except BrokenRecord as error:
            _log.error("the record of a command cannot be read: %s", error)
            return None

    @_guarded
    def input(self, command: Command) -> StoredPayload:
        """What it was asked, with its files. Raises BrokenRecord."""
        return self._input(command.number)

    @_guarded
    def remove(self, command: Command) -> None:
        """Forget it for good."""
        self._scrub(self._remove("number = ?", command.number))

    @_guarded
    def tidy(self, ended_before: float, max_bytes: float) -> list[str]:
        """Forget what was kept long enough, and the oldest while there are too many bytes: the ids
        of a part of them."""
        removed = self._remove(f"finished_at < ? LIMIT {_AT_ONCE}", ended_before)
        target = max_bytes
        while self._bytes() > target and len(removed) < _AT_ONCE:
            target = _TRIMMED_TO * max_bytes
            oldest = self._remove("finished_at IS NOT NULL ORDER BY finished_at LIMIT 10")
            if not oldest:
                break
            removed += oldest
        return self._scrub(removed)

    @_guarded
    def _put_away(self, living: list[Command]) -> None:
        self._save(living)

    # -- rows ---------------------------------------------------------------------------------

    def _write_rows(self, work: Work) -> None:
        db = self._db
        db.executemany(WRITE_COMMAND, map(row_of, work.commands))
        inputs = [(one.number, _text(_without_files(asked))) for one, asked in work.inputs]
        db.executemany("INSERT OR REPLACE INTO inputs VALUES (?, CAST(? AS TEXT))", inputs)
        for command, payload in work.inputs:
            for place, file in enumerate(payload["files"]):
                values = (command.number, place, _text(file))
                db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, CAST(? AS TEXT))", values)
        totals = [(stored(queue), *found) for queue, found in work.totals.items()]
        db.executemany("INSERT OR REPLACE INTO queues VALUES (?, ?, ?, ?, ?, ?, ?)", totals)

    def _put_output(self, commands: Iterable[Command]) -> None:
        """What the tables do not have of it yet."""
        for command in commands:
            if command.number not in self._in_tables:
                self._db.execute("DELETE FROM pieces WHERE command = ?", (command.number,))
            sequence = self._in_tables.get(command.number, 0)
            for channel, text in command.output.since(sequence):
                for start in range(0, len(text), _PIECE_CHARS):
                    part = text[start : start + _PIECE_CHARS]
                    sequence += len(part)
                    values = (command.number, sequence, stored(channel), stored(part))
                    self._db.execute("INSERT INTO pieces VALUES (?, ?, ?, ?)", values)
            self._in_tables[command.number] = sequence
            if command.state.is_terminal:
                del self._in_tables[command.number]

    def _save(self, living: list[Command]) -> None:
        """Put what the journal has into the tables."""
        running = [one for one in living if one.state is State.RUNNING]
        with self._db:
            self._write_rows(Work(running, [], {}, []))
            self._put_output(running)
        if self._journal is not None:
            self._journal.clear()

    def _with_output(self, command: Command) -> Command:
        sql = "SELECT channel, text FROM pieces WHERE command = ? ORDER BY sequence"
        try:
            command.output = Output.of(
                Piece(text_of(channel), text_of(text))
                for channel, text in self._db.execute(sql, (command.number,))
            )
        except (TypeError, UnicodeDecodeError) as error:
            raise BrokenRecord(f"{type(error).__name__}: {error}") from error
        return command

    def _input(self, number: int) -> StoredPayload:
        asked = self._objects("payload", "inputs WHERE command = ?", number)
        files = self._objects("file", "files WHERE command = ? ORDER BY place", number)
        if not asked:
            raise BrokenRecord("it is not there")
        listed = [piece for one in files for piece in (b",", one)]
        return StoredPayload(asked, [b"[", *listed[1:], b"]"])

    def _objects(self, column: str, rest: str, number: int) -> list[bytes]:
        """JSON of objects; SQLite looks through it, which keeps no other thread waiting."""
        is_json = f"json_valid(CAST({column} AS TEXT))"
        sql = f"SELECT CAST({column} AS BLOB), {is_json} FROM {rest}"  # noqa: S608
        rows = self._db.execute(sql, (number,)).fetchall()
        if not all(is_valid and one.startswith(b"{") for one, is_valid in rows):
            raise BrokenRecord(f"{column}: expected a JSON object, got something else")
        return [one for one, _ in rows]

    # -- removal ------------------------------------------------------------------------------

    def _remove(self, which: str, *values: Any) -> list[str]:
        rows = self._db.execute(f"SELECT number, id FROM commands WHERE {which}", values).fetchall()  # noqa: S608
        with self._db as db:
            for table in ("pieces", "inputs", "files"):
                sql = f"DELETE FROM {table} WHERE command = ?"  # noqa: S608
                db.executemany(sql, [(number,) for number, _ in rows])
            sql = "DELETE FROM commands WHERE number = ?"
            db.executemany(sql, [(number,) for number, _ in rows])
        return [command_id for _, command_id in rows]

    def _bytes(self) -> int:
        pages, free, size = (
            self._db.execute(f"PRAGMA {one}").fetchone()[0]
            for one in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _scrub(self, removed: list[str]) -> list[str]:
        """Nothing is left of it in the logs beside the database either."""
        if removed:
            self._empty_log()
            if self._journal is not None and self._journal.size:
                self._save(self._alive.kept())
        return removed

    def _empty_log(self) -> None:
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    # -- opening ------------------------------------------------------------------------------

    def _open(self) -> None:
        place, files = ":memory:", self._files
        if files is not None:
            files.make()
            place = str(files.database)
            self._journal = Journal(files.folder / "journal", self._durability == "power")
        db = sqlite3.connect(place, isolation_level="IMMEDIATE", check_same_thread=False)
        try:
            self._prepare(db)
            self._db = db
            if files is not None:
                self._take_over(files)
            self._is_open = True
        except BaseException:
            db.close()
            raise

    def _prepare(self, db: sqlite3.Connection) -> None:
        db.row_factory = sqlite3.Row
        for pragma in (
            "locking_mode = EXCLUSIVE",  # and no shared memory: a full disk can be opened
            "journal_mode = WAL",
            f"synchronous = {_SYNCHRONOUS[self._durability]}",
            "secure_delete = ON",
            "temp_store = MEMORY",
        ):
            db.execute(f"PRAGMA {pragma}")
        prepare(db)

    def _take_over(self, files: StoreFiles) -> None:
        old = read_old_store(files)
        if old is not None:
            known = {command_id for (command_id,) in self._db.execute("SELECT id FROM commands")}
            new = [one for one in old.commands if one.id not in known]
            with self._db:
                self._write_rows(old._replace(commands=new))
                self._put_output(new)
            self._empty_log()
            remove_old_store(files, len(new))

    def _begin_anew(self, reason: object) -> None:
        """Set the database aside, and write what can be read of it, and all that lives, into a new
        one."""
        assert self._files is not None  # noqa: S101  one in memory is never damaged
        old = self._db if self._is_open else None
        self._files.set_aside(reason)
        self._open()
        if old is not None:
            for table in TABLES:
                self._copy(old, table)
            old.close()
            with self._db:
                self._write_rows(Work(self._alive.kept(), [], {}, []))
            self._save(self._alive.kept())

    def _copy(self, old: sqlite3.Connection, table: str) -> None:
        """Whatever can be read."""
        with suppress(sqlite3.Error), self._db as db:
            for row in old.execute(f"SELECT * FROM {table}"):  # noqa: S608
                marks = ", ".join("?" * len(row))
                db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", tuple(row))  # noqa: S608

    @_guarded
    def _find(self) -> Found:
        if not self._is_open:
            self._open()
        rows = self._db.execute("SELECT * FROM commands WHERE finished_at IS NULL ORDER BY number")
        living: dict[int, Command] = {}
        for row in rows.fetchall():
            try:
                command = self._with_output(command_of(row))
                self._input(command.number)
                living[command.number] = command
            except BrokenRecord as error:
                if self._files is not None:
                    self._files.set_record_aside(row["id"], tuple(row), error)
                self._remove("number = ?", row["number"])
        if self._journal is not None:
            self._journal.complete(living)
        totals = {
            text_of(queue): Totals(*rest)
            for queue, *rest in self._db.execute("SELECT * FROM queues")
        }
        (last,) = self._db.execute("SELECT max(number) FROM commands").fetchone()
        return Found(list(living.values()), totals, last or 0)


def _without_files(payload: Payload) -> dict[str, Any]:
    return {key: value for key, value in payload.items() if key != "files"}


def _text(value: Any) -> bytes:
    return b"".join(list(json_pieces(value)))
