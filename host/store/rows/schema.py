"""The tables of the local store, and their version.

Invariants: a command's row never holds what grows or is large: text is in `pieces`, which are only
added, what was asked in `inputs`, uploads in `files`; whoever needs none of them reads none.
"""

from __future__ import annotations

import sqlite3

from host.store.protocol import StoreUnavailable

VERSION = 1
TABLES = ("commands", "pieces", "inputs", "files", "queues", "turns")

# Nobody fills `owner` and `conversation` yet. An index that begins with WHERE holds only what it
# names: ended commands, the most by far, are in none of those that claims use.
_TABLES_SQL = """
CREATE TABLE commands (
    number INTEGER PRIMARY KEY,  -- the order of acceptance
    id TEXT NOT NULL UNIQUE,
    queue TEXT NOT NULL, module_id TEXT NOT NULL, name TEXT NOT NULL, is_long INTEGER,
    client TEXT NOT NULL, owner TEXT, conversation TEXT, idempotency_key TEXT,
    state TEXT NOT NULL, turn REAL NOT NULL,
    attempt TEXT, attempts INTEGER NOT NULL, worker TEXT, stop_wish TEXT NOT NULL,
    failed_attempts TEXT NOT NULL, fields TEXT NOT NULL, result TEXT NOT NULL,
    max_wait_s REAL, max_run_s REAL,
    created_at REAL NOT NULL, queued_at REAL NOT NULL, started_at REAL, finished_at REAL
);
CREATE INDEX waiting ON commands (queue, turn, number) WHERE state = 'queued';
CREATE INDEX waiting_short ON commands (queue, turn, number)
    WHERE state = 'queued' AND is_long = 0;
CREATE INDEX running ON commands (worker) WHERE state = 'running';
CREATE INDEX ended ON commands (finished_at) WHERE finished_at IS NOT NULL;
CREATE UNIQUE INDEX keys ON commands (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX owners ON commands (owner, created_at) WHERE owner IS NOT NULL;
CREATE INDEX conversations ON commands (conversation, created_at) WHERE conversation IS NOT NULL;

-- What a command has put out: after each piece, its code points in all channels, and in its own.
CREATE TABLE pieces (
    command INTEGER, sequence INTEGER, channel TEXT NOT NULL, ends_at INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (command, sequence)
) WITHOUT ROWID;
CREATE TABLE inputs (command INTEGER PRIMARY KEY, payload TEXT NOT NULL);
CREATE TABLE files (
    command INTEGER, place INTEGER, file TEXT NOT NULL, PRIMARY KEY (command, place)
);
CREATE TABLE queues (
    queue TEXT PRIMARY KEY, serving REAL DEFAULT 0, waiting INTEGER DEFAULT 0,
    completed INTEGER DEFAULT 0, cancelled INTEGER DEFAULT 0, failed INTEGER DEFAULT 0,
    runs INTEGER DEFAULT 0, mean_run_s REAL
) WITHOUT ROWID;
CREATE TABLE turns (queue TEXT, client TEXT, turn REAL, PRIMARY KEY (queue, client)) WITHOUT ROWID;
CREATE INDEX turns_over ON turns (queue, turn);
"""

# what a short command was asked: it ends with this process, and is never written to the disk
_UNWRITTEN_SQL = "CREATE TEMP TABLE unwritten (command INTEGER PRIMARY KEY, payload TEXT NOT NULL)"

MIGRATIONS: dict[int, str] = {}  # from that version to the next; each runs in the transaction


def prepare(connection: sqlite3.Connection) -> bool:
    """Make the tables, or bring them to this version; True when they are new.

    Raises StoreUnavailable for a database of a later version, sqlite3.Error.
    """
    connection.execute(_UNWRITTEN_SQL)
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
    return not found
