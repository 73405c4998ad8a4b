"""A command as a row: columns by the names of its fields, what is no number as text.

Invariant: what `command_of` returns is what `row_of` was given, half surrogate pairs too; anything
else raises BrokenRecord.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import orjson

from host.commands import Command, State


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
    kind = type(value)  # asked for each value of each row
    if kind is str:
        return value if value.isascii() else value.encode("utf-8", "surrogatepass")
    return as_json(value) if kind is dict or kind is list else value


def text_of(value: Any) -> str:
    """The text that `stored` was given. Raises TypeError, UnicodeDecodeError."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogatepass")
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value


def _json_of(kind: type) -> Callable[[Any], Any]:
    def read(text: Any) -> Any:
        found = json.loads(text)
        if not isinstance(found, kind):
            raise TypeError(f"expected a JSON {kind.__name__}, got {type(found).__name__}")
        return found

    return read


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


_FIXED: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("id", "queue", "module_id", "name", "client"), text_of),
    "owner": _or_none(text_of),
    **dict.fromkeys(("max_wait_s", "max_run_s"), _or_none(float)),
    **{"number": int, "turn": float, "created_at": float},
    **dict.fromkeys(("idempotency_key", "request_digest"), _or_none(text_of)),
}
_CHANGING: dict[str, Callable[[Any], Any]] = {
    **{"state": State, "stop_wish": text_of, "attempts": int, "is_long": _or_none(bool)},
    **{"attempt": _or_none(text_of), "worker": _or_none(text_of), "queued_at": float},
    **{"started_at": _or_none(float), "finished_at": _or_none(float)},
    **{"fields": _json_of(dict), "result": _json_of(dict), "failed_attempts": _json_of(list)},
}
_COLUMNS = _FIXED | _CHANGING
_VALUES = attrgetter(*_COLUMNS)

WRITE_COMMAND = (
    f"INSERT INTO commands ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "  # noqa: S608
    f"ON CONFLICT (number) DO UPDATE SET {', '.join(f'{one}=excluded.{one}' for one in _CHANGING)}"
)


def row_of(command: Command) -> list[Any]:
    """The values of WRITE_COMMAND."""
    return [stored(value) for value in _VALUES(command)]


def command_of(row: sqlite3.Row) -> Command:
    """The command of a row, without its output. Raises BrokenRecord."""
    try:
        return Command(**{name: read(row[name]) for name, read in _COLUMNS.items()})
    except (TypeError, ValueError, RecursionError) as error:
        raise BrokenRecord(f"{type(error).__name__}: {error}") from error
