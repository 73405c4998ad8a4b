"""The tables of one store in SQLite, and the journal beside them: how they are written and read.

Invariants: only one thread works here; what `write` has returned from is on disk, whole; what is
removed is in none of the files.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Literal

from host.asked import StoredPayload
from host.channels import Output, Piece
from host.commands import Command, State
from host.store.rows import records
from host.store.rows.alive import Alive, Changes
from host.store.rows.files import StoreFiles
from host.store.rows.journal import ENOUGH_BYTES, Journal
from host.store.rows.queues import Totals
from host.store.rows.records import BrokenRecord, stored, text_of
from host.store.rows.schema import TABLES, prepare

_log = logging.getLogger(__name__)

Durability = Literal["process", "power"]

_SYNCHRONOUS = {"process": "NORMAL", "power": "FULL"}
# https://sqlite.org/pragma.html; without shared memory a full disk can be opened
_PRAGMAS = """PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;
    PRAGMA synchronous = {}; PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY;"""
_AT_ONCE = 500  # commands that leave in one step
_BYTES = """SELECT (page_count - freelist_count) * page_size
    FROM pragma_page_count, pragma_freelist_count, pragma_page_size"""


class Tables:
    """`files` None: in memory. `alive` has what is to be saved when the journal is to be empty.

    All but `close` may raise sqlite3.Error, OSError.
    """

    def __init__(self, files: StoreFiles | None, durability: Durability, alive: Alive) -> None:
        self._files, self._alive = files, alive
        self._journal: Journal | None = None
        if files is not None:
            files.make()
            self._journal = Journal(files.folder / "journal", durability == "power")
        place = files.database if files else ":memory:"
        self._db = sqlite3.connect(place, isolation_level="IMMEDIATE", check_same_thread=False)
        self._db.text_factory = partial(str, encoding="utf-8", errors="replace")  # of a damaged one
        try:
            self._db.executescript(_PRAGMAS.format(_SYNCHRONOUS[durability]))
            prepare(self._db)
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    # -- writing ------------------------------------------------------------------------------

    def write(self, work: Changes) -> None:
        """When this returns it is on disk; when it raises, nothing of it counts."""
        if self._journal is not None and work.news:
            self._journal.add(work.news)
        if work.rows:
            self._write_rows(work)
        if self._journal is not None and self._journal.size > ENOUGH_BYTES:
            self.save()

    def save(self, *more: State) -> None:
        """Put what runs into the tables with its text, so that the journal is needed no more; and
        what is in other states."""
        commands = self._alive.kept(State.RUNNING, *more)
        self._write_rows(Changes({one.id: one for one in commands}))
        if self._journal is not None:
            self._journal.clear()

    def _write_rows(self, work: Changes) -> None:
        commands = work.rows.values()
        with self._db as db:
            db.executemany(records.WRITE_COMMAND, map(records.row_of, commands))
            inputs = (
                (command.number, place, part)
                for command, payload in work.inputs
                for place, part in enumerate(records.parts_of(payload))
            )
            db.executemany("INSERT OR REPLACE INTO inputs VALUES (?, ?, CAST(? AS TEXT))", inputs)
            totals = (
                (stored(one), records.json_text(list(done))) for one, done in work.totals.items()
            )
            db.executemany("INSERT OR REPLACE INTO queues VALUES (?, ?)", totals)
            self._put_output(one for one in commands if one.output.length)
            ended = ((one.number,) for one in commands if one.state.is_terminal)
            db.executemany("DELETE FROM inputs WHERE command = ? AND place > 0", ended)

    def _put_output(self, commands: Iterable[Command]) -> None:
        """What the tables do not have of it yet."""
        last = "SELECT ifnull(max(sequence), 0) FROM pieces WHERE command = ?"
        for command in commands:
            (sequence,) = self._db.execute(last, (command.number,)).fetchone()
            for channel, text in command.output.since(sequence):
                sequence += len(text)
                values = (command.number, sequence, stored(channel), stored(text))
                self._db.execute("INSERT INTO pieces VALUES (?, ?, ?, ?)", values)

    def copy_from(self, other: Tables) -> None:
        """Whatever can be read there."""
        for table in TABLES:
            columns = self._db.execute(f"SELECT * FROM {table} LIMIT 0").description  # noqa: S608
            marks = ", ".join("?" * len(columns))
            with self._db as db:
                sql = f"INSERT OR REPLACE INTO {table} VALUES ({marks})"  # noqa: S608
                db.executemany(sql, other._readable(table))

    def _readable(self, table: str) -> Iterator[Any]:
        with suppress(sqlite3.Error):
            yield from self._db.execute(f"SELECT * FROM {table}")  # noqa: S608

    # -- reading ------------------------------------------------------------------------------

    def read(self, column: str, value: str) -> Command | None:
        """The command with that id or key; one that cannot be read is as if it were not there."""
        sql = f"SELECT number, record FROM commands WHERE {column} = ?"  # noqa: S608
        row = self._db.execute(sql, (stored(value),)).fetchone()
        try:
            return self._command(*row) if row else None
        except BrokenRecord as error:
            _log.error("the record of command %s cannot be read: %s", value, error)
            return None

    def input(self, number: int) -> StoredPayload:
        """What that command was asked, with its files. Raises BrokenRecord.

        SQLite looks through it: Python would keep every other thread waiting meanwhile.
        """
        sql = """SELECT CAST(part AS BLOB), json_valid(CAST(part AS TEXT))
            FROM inputs WHERE command = ? ORDER BY place"""
        return records.payload_of(self._db.execute(sql, (number,)).fetchall())

    def load(self) -> None:
        """Have what an earlier process left live; what cannot be read is set aside."""
        sql = "SELECT number, id, record FROM commands WHERE finished_at IS NULL ORDER BY number"
        living: dict[int, Command] = {}
        for number, command_id, record in self._db.execute(sql).fetchall():
            try:
                command = self._command(number, record)
                self.input(number)
                living[number] = command
            except BrokenRecord as error:
                if self._files is not None:
                    self._files.set_record_aside(command_id, record, error)
                self._remove("number = ?", number)
        if self._journal is not None:
            self._journal.complete(living)
        queues = self._db.execute("SELECT * FROM queues")
        totals = {text_of(queue): Totals(*json.loads(rest)) for queue, rest in queues}
        (last,) = self._db.execute("SELECT max(number) FROM commands").fetchone()
        self._alive.load(living.values(), totals, last or 0)

    def _command(self, number: int, record: str) -> Command:
        command = records.command_of(record)
        sql = "SELECT channel, text FROM pieces WHERE command = ? ORDER BY sequence"
        pieces = self._db.execute(sql, (number,))
        command.output = Output.of(Piece(*map(text_of, piece)) for piece in pieces)
        return command

    # -- removal ------------------------------------------------------------------------------

    def remove(self, command: Command) -> None:
        """Forget it for good."""
        self._scrub(self._remove("number = ?", command.number))

    def tidy(self, before: float, max_bytes: float) -> list[str]:
        """Forget what ended before that time, and the oldest while there are too many bytes: the
        ids of a part of them."""
        removed = self._remove(f"finished_at < ? LIMIT {_AT_ONCE}", before)
        while self._db.execute(_BYTES).fetchone()[0] > max_bytes and len(removed) < _AT_ONCE:
            oldest = self._remove("finished_at IS NOT NULL ORDER BY finished_at LIMIT 10")
            if not oldest:
                break
            removed += oldest
        return self._scrub(removed)

    def _remove(self, which: str, *values: Any) -> list[str]:
        with self._db as db:
            found = db.execute(f"SELECT id FROM commands WHERE {which}", values).fetchall()  # noqa: S608
            db.executemany("DELETE FROM commands WHERE id = ?", found)
        return [text_of(command_id) for (command_id,) in found]

    def _scrub(self, removed: list[str]) -> list[str]:
        """Nothing is left of it in the logs beside the database either."""
        if removed:
            self.empty_log()
            if self._journal is not None and self._journal.size:
                self.save()
        return removed

    def empty_log(self) -> None:
        """Put what SQLite has in its log where it belongs."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
