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
from typing import Any

from host.channels import Output, Piece
from host.commands import Command, State
from host.store.rows.alive import Alive, Changes
from host.store.rows.database import Database
from host.store.rows.files import StoreFiles
from host.store.rows.queues import Totals

_log = logging.getLogger(__name__)

FILE = "cache.db"
_SAME = (
    *("id", "module_id", "queue", "name", "is_long", "client", "fields", "result", "attempt"),
    *("attempts", "worker", "stop_wish", "turn", "idempotency_key", "max_wait_s", "max_run_s"),
    *("created_at", "started_at", "finished_at"),
)
_COUNTED = ("completed", "cancelled", "failed", "runs", "mean_run_s")


def take_over(files: StoreFiles) -> None:
    """Write what an old store has into this version's tables; what cannot be read is set aside.

    Done again after a crash it changes nothing. Raises StoreUnavailable, sqlite3.Error, OSError.
    """
    with closing(sqlite3.connect(files.folder / FILE)) as connection:
        kept = dict(connection.execute("SELECT key, value FROM Cache"))
    old = _changes(kept, files)
    database = Database(files.folder, "power", Alive(0.0))
    try:
        database.open()
        database.run(lambda tables: tables.write(old))
    finally:
        database.close()
    for end in ("", "-wal", "-shm"):
        (files.folder / f"{FILE}{end}").unlink(missing_ok=True)
    text = "took over %d commands from the older store in %s"
    _log.info(text, len(old.rows), files.folder / FILE)


def _changes(kept: dict[str, Any], files: StoreFiles) -> Changes:
    changes = Changes()
    for command_id, text in _records(kept):
        try:
            record = json.loads(text)
            command, payload = _command(record), record["payload"]
            payload["files"] = payload["files"] or json.loads(kept.get(f"files:{command_id}", "[]"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            files.set_record_aside(command_id, text, error)
            continue
        command.number = len(changes.rows) + 1
        changes.rows[command_id] = command
        changes.inputs.append((command, payload))
    for key in kept:
        if key.startswith("tally:"):
            tally = json.loads(kept[key])
            counts = {one: tally[one] for one in _COUNTED}
            changes.totals[key.removeprefix("tally:")] = Totals(**counts)
    return changes


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


def _command(record: dict[str, Any]) -> Command:
    command = Command(**{one: record[one] for one in _SAME}, queued_at=record["created_at"])
    command.state = State(record["state"])
    if record["text"]:
        command.output = Output.of([Piece("reply", record["text"])])
    return command
