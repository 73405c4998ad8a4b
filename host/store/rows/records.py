"""A command as a row: one JSON record of all its fields, and columns by which it is found.

Invariants: the record is the truth, and has every field of a command but those in _APART; a field
that it lacks has its default, so that a new one needs nothing here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from operator import attrgetter
from typing import Any

from host.asked import StoredPayload
from host.commands import Command, State
from host.json_pieces import json_bytes, json_pieces
from host.wire import Payload

# its text and what it was asked have tables of their own; the others belong to one process
_APART = {"output", "payload", "version", "since"}
_NAMES = [one.name for one in fields(Command) if one.name not in _APART]
_VALUES = attrgetter(*_NAMES)

WRITE_COMMAND = """INSERT INTO commands
    (number, id, queue, owner, state, idempotency_key, created_at, finished_at, record)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET
    state = excluded.state, finished_at = excluded.finished_at, record = excluded.record"""


class BrokenRecord(Exception):
    """A row that cannot be read."""


def stored(value: str) -> str | bytes:
    """A text as SQLite takes it: one that is not plain ASCII as bytes, half a pair among it."""
    return value if value.isascii() else value.encode("utf-8", "surrogatepass")


def text_of(value: str | bytes) -> str:
    """The text that `stored` was given. Raises BrokenRecord."""
    try:
        return value if isinstance(value, str) else value.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise BrokenRecord(str(error)) from error


def json_text(value: Any) -> str:
    """JSON, as SQLite takes it."""
    return json_bytes(value).decode()


def row_of(one: Command) -> tuple[Any, ...]:
    """The values of WRITE_COMMAND; what is empty is left out of the record."""
    named = zip(_NAMES, _VALUES(one), strict=True)  # not vars(): that gives each a dictionary
    record = json_text({name: value for name, value in named if value or value is False})
    key = one.idempotency_key and stored(one.idempotency_key)
    owner = one.owner and stored(one.owner)
    columns = one.number, stored(one.id), stored(one.queue), owner, one.state, key
    return (*columns, one.created_at, one.finished_at, record)


def command_of(record: str) -> Command:
    """The command, without its output. Raises BrokenRecord."""
    try:
        found = {"is_long": None, **json.loads(record)}
        found["state"] = State(found["state"])
        return Command(**{name: found[name] for name in _NAMES if name in found})
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        raise BrokenRecord(f"{type(error).__name__}: {error}") from error


def parts_of(payload: Payload) -> Iterator[bytes]:
    """What was asked as rows of JSON: first all but the files, then each of these."""
    for part in ({**payload, "files": []}, *payload["files"]):
        yield b"".join(list(json_pieces(part)))


def payload_of(parts: list[tuple[bytes, bool]]) -> StoredPayload:
    """What `parts_of` was given, from each part and whether it is JSON. Raises BrokenRecord."""
    if not parts or not all(is_json and one.startswith(b"{") for one, is_json in parts):
        raise BrokenRecord("expected JSON objects, got something else")
    asked, *files = [one for one, _ in parts]
    listed = [piece for one in files for piece in (b",", one)]
    return StoredPayload([asked], [b"[", *listed[1:], b"]"])
