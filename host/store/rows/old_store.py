"""Data directories of the first versions, which kept records in a diskcache: taken over once.

Its rows are read as SQLite has them. Invariant: the old file leaves after everything in it is in
the new database, or was set aside.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from host.commands import Command, State
from host.store.rows.files import StoreFiles
from host.store.rows.records import INSERT, as_json, inserted, stored
from host.store.rows.tables import Tables

_log = logging.getLogger(__name__)

_SAME = (
    *("id", "module_id", "queue", "name", "is_long", "client", "fields", "result", "attempt"),
    *("attempts", "worker", "stop_wish", "turn", "idempotency_key", "max_wait_s", "max_run_s"),
    *("created_at", "started_at", "finished_at"),
)


def take_over(db: Tables, files: StoreFiles) -> None:
    """Write what an old store has into the tables. Raises sqlite3.Error, OSError."""
    old = files.folder / "cache.db"
    if not old.exists():
        return
    with closing(sqlite3.connect(old)) as connection:
        kept = dict(connection.execute("SELECT key, value FROM Cache"))
    taken = 0
    for command_id, text in _records(kept):
        try:
            taken += _take(db, json.loads(text), kept.get(f"files:{command_id}"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            files.set_record_aside(command_id, text, error)
    for key in kept:
        if key.startswith("tally:"):
            _take_counts(db, key.removeprefix("tally:"), json.loads(kept[key]))
    if db.connection.in_transaction:
        db.connection.execute("COMMIT")
    db.log.clear()
    db.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for end in ("", "-wal", "-shm"):
        Path(f"{old}{end}").unlink(missing_ok=True)
    _log.info("took over %d commands from the older store in %s", taken, old)


def _records(kept: dict[str, Any]) -> list[tuple[str, str]]:
    """Ids and records: the ended ones, then the newest line of each live one, in their order."""
    ended = {key.removeprefix("ended:"): kept[key] for key in kept if key.startswith("ended:")}
    newest: dict[str, str] = {}
    for key in sorted(key for key in kept if key.startswith("log:")):
        newest.update(_lines(kept[key]))
    live = [(one, text) for one, text in newest.items() if text and one not in ended]
    return [*ended.items(), *sorted(live, key=_number)]


def _number(line: tuple[str, str]) -> float:
    with suppress(ValueError, TypeError, KeyError):
        return float(json.loads(line[1])["number"])
    return 0.0


def _lines(row: str) -> Iterator[tuple[str, str]]:
    for line in row.split("\n"):
        command_id, space, text = line.partition(" ")
        if space:
            yield command_id, text


def _take(db: Tables, record: dict[str, Any], files: str | None) -> int:
    """Write one command; 0 when it is there already."""
    if db.find(record["id"]) is not None:
        return 0
    command = Command(**{one: record[one] for one in _SAME}, queued_at=record["created_at"])
    command.state, payload = State(record["state"]), record["payload"]
    text, uploads = record["text"], payload["files"]
    number = db.write(INSERT, *inserted(command))
    if text:
        row = (number, len(text), "reply", len(text), stored(text))
        db.write("INSERT INTO pieces VALUES (?, ?, ?, ?, ?)", *row)
    db.write("INSERT INTO inputs VALUES (?, ?)", number, as_json({**payload, "files": []}))
    for place, file in enumerate(uploads or json.loads(files or "[]")):
        db.write("INSERT INTO files VALUES (?, ?, ?)", number, place, as_json(file))
    db.write("INSERT OR IGNORE INTO queues (queue) VALUES (?)", stored(command.queue))
    if command.state is State.QUEUED:
        values = [stored(command.queue), stored(command.client), command.turn]
        db.write("UPDATE queues SET waiting = waiting + 1 WHERE queue = ?", values[0])
        db.write(
            "INSERT INTO turns VALUES (?, ?, ?) ON CONFLICT (queue, client) "
            "DO UPDATE SET turn = max(turn, excluded.turn)",
            *values,
        )
    return 1


def _take_counts(db: Tables, queue: str, tally: dict[str, Any]) -> None:
    db.write("INSERT OR IGNORE INTO queues (queue) VALUES (?)", stored(queue))
    names = ("completed", "cancelled", "failed", "runs", "mean_run_s")
    db.write(
        f"UPDATE queues SET {', '.join(f'{one} = ?' for one in names)} WHERE queue = ?",  # noqa: S608
        *(tally[one] for one in names),
        stored(queue),
    )
