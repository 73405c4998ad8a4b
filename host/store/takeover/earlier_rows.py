"""Tables of versions 1 and 2, in which each field of a command had its column: to those of 3.

Invariant: a row whose fields cannot be read becomes a record that cannot be read, with all that it
has.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

from host.store.rows.files import StoreFiles
from host.store.rows.schema import TABLES_SQL, VERSION

_VERSIONS = (1, 2)
_TEXTS = (
    *("id", "queue", "module_id", "name", "client", "idempotency_key", "state"),
    *("attempt", "worker", "stop_wish"),
)
_JSON = ("failed_attempts", "fields", "result")
_NUMBERS = (
    *("number", "turn", "attempts", "max_wait_s", "max_run_s"),
    *("created_at", "queued_at", "started_at", "finished_at"),
)
_FIELDS = (*_TEXTS, *_JSON, *_NUMBERS, "is_long")

_OUT_OF_THE_WAY = """
DROP INDEX ended; DROP INDEX keys; DROP INDEX owners; DROP INDEX conversations;
ALTER TABLE commands RENAME TO old_commands; ALTER TABLE pieces RENAME TO old_pieces;
ALTER TABLE inputs RENAME TO old_inputs; ALTER TABLE queues RENAME TO old_queues;
"""
# Version 1 wrote short commands too, which end with their process.
_TAKEN_IN = f"""
INSERT INTO commands (number, id, queue, state, idempotency_key, created_at, finished_at, record)
    SELECT number, id, queue, state, idempotency_key, created_at, finished_at,
        old_record({", ".join(_FIELDS)})
    FROM old_commands WHERE is_long IS NOT 0 OR idempotency_key IS NOT NULL;
CREATE TEMP VIEW kept AS SELECT number FROM main.commands;
INSERT INTO pieces
    SELECT command, sequence, channel, text FROM old_pieces WHERE command IN kept;
INSERT INTO inputs SELECT command, 0, payload FROM old_inputs WHERE command IN kept;
INSERT INTO inputs SELECT command, place + 1, file FROM files WHERE command IN kept;
INSERT INTO queues
    SELECT queue, json_array(serving, completed, cancelled, failed, runs, mean_run_s)
    FROM old_queues;
DROP VIEW kept; DROP TABLE files; DROP TABLE IF EXISTS turns; DROP TABLE old_commands;
DROP TABLE old_pieces; DROP TABLE old_inputs; DROP TABLE old_queues;
"""  # noqa: S608


def bring_up_to_date(files: StoreFiles) -> None:
    """Fill this version's tables from those of an earlier one, in one transaction.

    One that cannot be read is left as it is. Raises sqlite3.Error, OSError: nothing has changed.
    """
    with closing(sqlite3.connect(files.database)) as connection:
        try:
            found = connection.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.DatabaseError:
            return
        if found not in _VERSIONS:
            return
        files.release_reserve()
        connection.execute("PRAGMA secure_delete = ON")
        connection.create_function("old_record", len(_FIELDS), _record)
        steps = f"{_OUT_OF_THE_WAY} {TABLES_SQL} {_TAKEN_IN} PRAGMA user_version = {VERSION};"
        connection.executescript(f"BEGIN IMMEDIATE; {steps} COMMIT")


def _record(*values: Any) -> str:
    """A command's JSON record, as version 3 has it."""
    row = dict(zip(_FIELDS, values, strict=True))
    try:
        for name in _TEXTS:
            if isinstance(row[name], bytes):
                row[name] = row[name].decode("utf-8", "surrogatepass")
        row |= {name: json.loads(row[name]) for name in _JSON}
        row["is_long"] = None if row["is_long"] is None else bool(row["is_long"])
        return json.dumps(row)
    except (TypeError, ValueError) as error:
        return f"{error}: {row}"
