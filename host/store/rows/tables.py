"""The tables as the rules see them: statements, and a note of what they did.

Invariant: every statement that writes is in `log` until it is on disk, so that a transaction that
could not be committed can be written again.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from typing import Any, NamedTuple

from host.channels import Output, Piece
from host.commands import Command
from host.store.rows.records import BrokenRecord, command_of, stored, text_of
from host.wire import Payload

_log = logging.getLogger(__name__)

_TRIMMED_TO = 0.9  # of the bytes allowed, once they are exceeded
_TRIMS_AT_ONCE = 50


class Change(NamedTuple):
    """What those who wait are to know: a command as it is, without its output, and what was added
    to that; or None for one that is gone. One that was only `found` has its output."""

    command_id: str
    command: Command | None
    news: Piece | None = None
    is_found: bool = False


class Tables:
    """One connection. `is_full`: what makes the database grow is refused."""

    def __init__(self) -> None:
        self.connection: sqlite3.Connection
        self.log: list[tuple[str, tuple[Any, ...]]] = []
        self.changes: list[Change] = []
        self.must_commit = self.must_scrub = self.is_full = False

    def hold(self, *, must_scrub: bool = False) -> None:
        """Nobody hears of what was done before it is on disk; `must_scrub`: nor of its remains."""
        self.must_commit = True
        self.must_scrub = self.must_scrub or must_scrub

    def changed(self, command: Command, news: Piece | None = None) -> None:
        """Whoever waits for the command is to know."""
        self.changes.append(Change(command.id, command, news))

    def found(self, command: Command) -> None:
        """It may be asked for again."""
        self.changes.append(Change(command.id, command, is_found=True))

    # -- statements ---------------------------------------------------------------------------

    def one(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """The first row."""
        row: sqlite3.Row | None = self.connection.execute(sql, values).fetchone()
        return row

    def all(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Every row."""
        return self.connection.execute(sql, values).fetchall()

    def write(self, sql: str, *values: Any) -> int:
        """Change something, in the open transaction; the number of a row that was inserted."""
        if not self.connection.in_transaction:
            self.connection.execute("BEGIN IMMEDIATE")
        self.log.append((sql, values))
        return self.connection.execute(sql, values).lastrowid or 0

    # -- commands -----------------------------------------------------------------------------

    def find(self, command_id: str) -> Command | None:
        """A command without its output; one that cannot be read is as if it were not there."""
        row = self.one("SELECT * FROM commands WHERE id = ?", command_id)
        try:
            return command_of(row) if row else None
        except BrokenRecord as error:
            _log.error("the record of command %s cannot be read: %s", command_id, error)
            return None

    def output(self, command: Command) -> Output:
        """What it has put out. Raises BrokenRecord."""
        sql = "SELECT channel, text FROM pieces WHERE command = ? ORDER BY sequence"
        try:
            return Output.of(
                Piece(text_of(one["channel"]), text_of(one["text"]))
                for one in self.all(sql, command.number)
            )
        except (TypeError, UnicodeDecodeError) as error:
            raise BrokenRecord(f"{type(error).__name__}: {error}") from error

    def length(self, command: Command, channel: str) -> int:
        """How many code points that is."""
        row = self.one(
            "SELECT ends_at FROM pieces WHERE command = ? AND channel = ? "
            "ORDER BY sequence DESC LIMIT 1",
            *(command.number, stored(channel)),
        )
        return row["ends_at"] if row else 0

    def input(self, number: int) -> Payload:
        """What a command was asked, with its files. Raises BrokenRecord."""
        for table in ("unwritten", "inputs"):
            row = self.one(f"SELECT payload FROM {table} WHERE command = ?", number)  # noqa: S608
            if row:
                break
        files = self.all("SELECT file FROM files WHERE command = ? ORDER BY place", number)
        try:
            payload: Payload = json.loads(row["payload"] if row else "")
            payload["files"] += [json.loads(one["file"]) for one in files]
        except (ValueError, TypeError, KeyError) as error:
            raise BrokenRecord(f"{type(error).__name__}: {error}") from error
        return payload

    # -- removal ------------------------------------------------------------------------------

    def remove(self, which: str, *values: Any, limit: int = -1) -> int:
        """Forget commands for good; how many there were."""
        rows = self.all(f"SELECT number, id FROM commands WHERE {which} LIMIT {limit}", *values)  # noqa: S608
        for number, command_id in rows:
            for table in ("pieces", "inputs", "files", "unwritten"):
                self.write(f"DELETE FROM {table} WHERE command = ?", number)  # noqa: S608
            self.write("DELETE FROM commands WHERE number = ?", number)
            self.changes.append(Change(command_id, None))
        return len(rows)

    def trim(self, max_bytes: float) -> bool:
        """Remove the oldest ended commands while there are too many bytes; True: there are more."""
        if self._bytes() <= max_bytes:
            return False
        for _ in range(_TRIMS_AT_ONCE):
            if not self.remove("finished_at IS NOT NULL ORDER BY finished_at", limit=10):
                return False
            if self._bytes() <= _TRIMMED_TO * max_bytes:
                return False
        return True

    def _bytes(self) -> int:
        pages, free, size = (
            self.connection.execute(f"PRAGMA {one}").fetchone()[0]
            for one in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)
