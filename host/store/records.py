"""A command as text: JSON, so that any string comes back as it was, half surrogate pairs too.

Invariant: what `decode` returns is what `encode` was given; anything else raises BrokenRecord.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import orjson

from host.commands import Command, State

_KNOWN = frozenset(field.name for field in fields(Command))
_NUMBERS = ("turn", "number", "attempts", "created_at", "version")
_NUMBERS_OR_NONE = ("started_at", "finished_at", "max_wait_s", "max_run_s")


_encode = json.JSONEncoder(default=str, separators=(",", ":")).encode


class BrokenRecord(Exception):
    """A record that cannot be read."""


def encode(command: Command, *, with_files: bool = True) -> str:
    """The whole record; without its uploaded files where those are kept beside it."""
    record = dict(vars(command))
    if not with_files:
        record["payload"] = {**command.payload, "files": []}
    try:
        return orjson.dumps(record).decode()
    except TypeError:  # half of a surrogate pair, say
        return _encode(record)


def decode(text: object) -> Command:
    """Read a record; what a later version may have added is passed over. Raises BrokenRecord."""
    try:
        record = json.loads(text)  # type: ignore[arg-type]
        known = {key: value for key, value in record.items() if key in _KNOWN}
        command = Command(**known)
        command.state = State(command.state)
        _check(command)
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BrokenRecord(f"{type(error).__name__}: {error}") from error
    return command


def _check(command: Command) -> None:
    """That the parts which the rules rest on have their types. Raises TypeError."""
    _expect(command, ("id", "module_id", "queue", "name", "client", "text", "stop_wish"), str)
    _expect(command, ("fields", "result", "payload"), dict)
    _expect(command, _NUMBERS, int, float)
    _expect(command, _NUMBERS_OR_NONE, int, float, type(None))
    _expect(command, ("attempt", "worker", "idempotency_key"), str, type(None))
    if not isinstance(command.payload.get("values"), list):
        raise TypeError("payload.values: expected a list")


def _expect(command: Command, names: tuple[str, ...], *types: type[Any]) -> None:
    for name in names:
        value = getattr(command, name)
        if not isinstance(value, types):
            wanted = " or ".join(one.__name__ for one in types)
            raise TypeError(f"{name}: expected {wanted}, got {type(value).__name__}")
