"""The tables of the local store, and their version.

Invariants: a command's row never holds what grows or is large: text is in `pieces`, which are only
added, what was asked in `inputs`, uploads in `files`; whoever needs none of them reads none.
"""

from __future__ import annotations

import sqlite3

from host.store.protocol import StoreUnavailable

VERSION = 3
TABLES = ("commands", "pieces", "inputs", "files", "queues")

# Nobody fills `conversation` yet. An index that begins with WHERE holds only what it
# names: ended commands, the most by far, are not among those that live.
_LIVING = """
CREATE INDEX living ON commands (queue, state) WHERE finished_at IS NULL;
"""
_PIECES = """
CREATE TABLE pieces (
    command INTEGER, sequence INTEGER, channel TEXT NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (command, sequence)  -- after the piece, in code points of all channels
) WITHOUT ROWID;
"""
_QUEUES = """
CREATE TABLE queues (
    queue TEXT PRIMARY KEY, serving REAL, completed INTEGER, cancelled INTEGER, failed INTEGER,
    runs INTEGER, mean_run_s REAL
) WITHOUT ROWID;
"""
_TABLES_SQL = f"""
CREATE TABLE commands (
    number INTEGER PRIMARY KEY,  -- the order of acceptance
    id TEXT NOT NULL UNIQUE,
    queue TEXT NOT NULL, module_id TEXT NOT NULL, name TEXT NOT NULL, is_long INTEGER,
    client TEXT NOT NULL, owner TEXT, conversation TEXT, idempotency_key TEXT,
    state TEXT NOT NULL, turn REAL NOT NULL,
    attempt TEXT, attempts INTEGER NOT NULL, worker TEXT, stop_wish TEXT NOT NULL,
    failed_attempts TEXT NOT NULL, fields TEXT NOT NULL, result TEXT NOT NULL,
    max_wait_s REAL, max_run_s REAL,
    created_at REAL NOT NULL, queued_at REAL NOT NULL, started_at REAL, finished_at REAL,
    request_digest TEXT
);
CREATE INDEX ended ON commands (finished_at) WHERE finished_at IS NOT NULL;
CREATE UNIQUE INDEX keys ON commands (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX owners ON commands (owner, created_at) WHERE owner IS NOT NULL;
CREATE INDEX conversations ON commands (conversation, created_at) WHERE conversation IS NOT NULL;
CREATE TABLE inputs (command INTEGER PRIMARY KEY, payload TEXT NOT NULL);
CREATE TABLE files (
    command INTEGER, place INTEGER, file TEXT NOT NULL, PRIMARY KEY (command, place)
);
{_LIVING} {_PIECES} {_QUEUES}
"""

# From that version to the next; each runs in the transaction.
MIGRATIONS = {
    1: f"""
DROP TABLE turns; DROP INDEX waiting; DROP INDEX waiting_short; DROP INDEX running; {_LIVING}
ALTER TABLE pieces RENAME TO old_pieces; {_PIECES}
INSERT INTO pieces SELECT command, sequence, channel, text FROM old_pieces;
DROP TABLE old_pieces;
ALTER TABLE queues RENAME TO old_queues; {_QUEUES}
INSERT INTO queues
    SELECT queue, serving, completed, cancelled, failed, runs, mean_run_s FROM old_queues;
DROP TABLE old_queues;
DELETE FROM commands WHERE is_long = 0 AND idempotency_key IS NULL;
DELETE FROM inputs WHERE command NOT IN (SELECT number FROM commands);
""",  # noqa: S608
    2: "ALTER TABLE commands ADD COLUMN request_digest TEXT;",
}


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables, or bring them to this version.

    Raises StoreUnavailable for a database of a later version, sqlite3.Error.
    """
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > VERSION:
        raise StoreUnavailable(
            f"the store was written by a later version of this program (its schema is {found}, "
            f"expected at most {VERSION}): start that version, or give this one another DataDir"
        )
    steps = [MIGRATIONS[one] for one in range(found, VERSION)] if found else [_TABLES_SQL]
    if found < VERSION:
        script = "".join(steps)
        connection.executescript(f"BEGIN; {script} PRAGMA user_version = {VERSION}; COMMIT")
