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

from host.channels import Output, Piece
from host.commands import Command, State
from host.store.rows.alive import Totals, Work
from host.store.rows.files import StoreFiles

_log = logging.getLogger(__name__)

_SAME = (
    *("id", "module_id", "queue", "name", "is_long", "client", "fields", "result", "attempt"),
    *("attempts", "worker", "stop_wish", "turn", "idempotency_key", "max_wait_s", "max_run_s"),
    *("created_at", "started_at", "finished_at"),
)
_COUNTED = ("completed", "cancelled", "failed", "runs", "mean_run_s")


def read_old_store(files: StoreFiles) -> Work | None:
    """What an old store has, to be written; None where there is none. Raises sqlite3.Error."""
    old = files.folder / "cache.db"
    if not old.exists():
        return None
    with closing(sqlite3.connect(old)) as connection:
        kept = dict(connection.execute("SELECT key, value FROM Cache"))
    work = Work([], [], {}, [])
    for command_id, text in _records(kept):
        try:
            record = json.loads(text)
            command, payload = _command(record), record["payload"]
            payload["files"] = payload["files"] or json.loads(kept.get(f"files:{command_id}", "[]"))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            files.set_record_aside(command_id, text, error)
            continue
        command.number = len(work.commands) + 1
        work.commands.append(command)
        work.inputs.append((command, payload))
    for key in kept:
        if key.startswith("tally:"):
            tally = json.loads(kept[key])
            counts = {one: tally[one] for one in _COUNTED}
            work.totals[key.removeprefix("tally:")] = Totals(**counts)
    return work


def remove_old_store(files: StoreFiles, taken: int) -> None:
    """Everything is in the new one."""
    old = files.folder / "cache.db"
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


def _command(record: dict[str, Any]) -> Command:
    command = Command(**{one: record[one] for one in _SAME}, queued_at=record["created_at"])
    command.state = State(record["state"])
    if record["text"]:
        command.output = Output.of([Piece("reply", record["text"])])
    return command
