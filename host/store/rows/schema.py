"""The tables of the local store, and their version.

Invariants: a command's row never holds what grows or is large: text is in `pieces`, which are only
added, what was asked in `inputs`, a row for each upload; whoever needs none of them reads none.
"""

from __future__ import annotations

import sqlite3

from host.store.protocol import StoreUnavailable

VERSION = 3
TABLES = ("commands", "pieces", "inputs", "queues")

# Nobody fills `conversation` yet.
TABLES_SQL = """
CREATE TABLE commands (
    number INTEGER PRIMARY KEY,  -- the order of acceptance
    id TEXT NOT NULL UNIQUE, queue TEXT NOT NULL, state TEXT NOT NULL,
    owner TEXT, conversation TEXT, idempotency_key TEXT,
    created_at REAL NOT NULL, finished_at REAL,
    record TEXT NOT NULL  -- all that is known of it, these columns too
);
CREATE INDEX ended ON commands (finished_at);
CREATE UNIQUE INDEX keys ON commands (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX owners ON commands (owner, created_at) WHERE owner IS NOT NULL;
CREATE INDEX conversations ON commands (conversation, created_at) WHERE conversation IS NOT NULL;
CREATE TABLE pieces (
    command INTEGER, sequence INTEGER, channel TEXT NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (command, sequence)  -- after the piece, in code points of all channels
) WITHOUT ROWID;
CREATE TABLE inputs (
    command INTEGER, place INTEGER, part TEXT NOT NULL,
    PRIMARY KEY (command, place)  -- 0 what was asked, from 1 on the uploads
) WITHOUT ROWID;
CREATE TRIGGER gone AFTER DELETE ON commands BEGIN
    DELETE FROM pieces WHERE command = old.number; DELETE FROM inputs WHERE command = old.number;
END;
CREATE TABLE queues (queue TEXT PRIMARY KEY, totals TEXT NOT NULL) WITHOUT ROWID;
"""


def prepare(connection: sqlite3.Connection) -> None:
    """Make the tables where there are none. Raises StoreUnavailable, sqlite3.Error."""
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > VERSION:
        raise StoreUnavailable(
            f"the store was written by a later version of this program (its schema is {found}, "
            f"expected at most {VERSION}): start that version, or give this one another DataDir"
        )
    if not found:
        connection.executescript(f"BEGIN; {TABLES_SQL} PRAGMA user_version = {VERSION}; COMMIT")
