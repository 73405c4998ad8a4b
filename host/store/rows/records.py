"""A command as a row: columns by the names of its fields, what is no number as text.

Invariant: what `command_of` returns is what `values_of` was given, half surrogate pairs too;
anything else raises BrokenRecord.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import orjson

from host.commands import Command, State

_TEXTS = ("id", "queue", "module_id", "name", "client", "stop_wish")
_OPTIONAL_TEXTS = ("attempt", "worker", "idempotency_key")
_NUMBERS = ("turn", "created_at", "queued_at")
_OPTIONAL_NUMBERS = ("max_wait_s", "max_run_s", "started_at", "finished_at")
_CHANGING = (
    *("state", "is_long", "attempt", "attempts", "worker", "stop_wish", "failed_attempts"),
    *("fields", "result", "queued_at", "started_at", "finished_at"),
)
_ALL = (
    *("id", "queue", "module_id", "name", "client", "idempotency_key", "turn"),
    *("max_wait_s", "max_run_s", "created_at"),
    *_CHANGING,
)
INSERT = f"INSERT INTO commands ({', '.join(_ALL)}) VALUES ({', '.join('?' * len(_ALL))})"  # noqa: S608
UPDATE = f"UPDATE commands SET {', '.join(f'{one} = ?' for one in _CHANGING)} WHERE number = ?"  # noqa: S608


class BrokenRecord(Exception):
    """A row that cannot be read."""


def as_json(value: Any) -> str:
    """JSON that any string survives."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # half of a surrogate pair, say
        return json.dumps(value, default=str, separators=(",", ":"))


def stored(value: Any) -> Any:
    """A value as SQLite takes it: text that is no plain ASCII as bytes, half a pair among it."""
    if isinstance(value, (dict, list)):
        return as_json(value)
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "surrogatepass")
    return value


def text_of(value: Any) -> str:
    """The text that `stored` was given. Raises TypeError, UnicodeDecodeError."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogatepass")
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value


def inserted(command: Command) -> list[Any]:
    """The values of INSERT."""
    return [stored(getattr(command, one)) for one in _ALL]


def updated(command: Command) -> list[Any]:
    """The values of UPDATE."""
    return [*(stored(getattr(command, one)) for one in _CHANGING), command.number]


def command_of(row: sqlite3.Row) -> Command:
    """The command of a row, without its output. Raises BrokenRecord."""
    try:
        found: dict[str, Any] = {one: text_of(row[one]) for one in _TEXTS}
        for one in _OPTIONAL_TEXTS:
            found[one] = None if row[one] is None else text_of(row[one])
        for one in _NUMBERS:
            found[one] = float(row[one])
        for one in _OPTIONAL_NUMBERS:
            found[one] = None if row[one] is None else float(row[one])
        return Command(
            **found,
            state=State(row["state"]),
            is_long=None if row["is_long"] is None else bool(row["is_long"]),
            number=int(row["number"]),
            attempts=int(row["attempts"]),
            fields=_parsed(row["fields"], dict),
            result=_parsed(row["result"], dict),
            failed_attempts=_parsed(row["failed_attempts"], list),
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise BrokenRecord(f"{type(error).__name__}: {error}") from error


def _parsed(text: Any, kind: type) -> Any:
    found = json.loads(text)
    if not isinstance(found, kind):
        raise TypeError(f"expected a JSON {kind.__name__}, got {type(found).__name__}")
    return found
