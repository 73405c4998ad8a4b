"""What a module says of itself (`statusData`): read, and made safe for whoever uses it.

Invariant: the fields that the host itself reads are of their kind, or are not there; the others are
the module's own, and only shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from host.web.errors import bad_field
from host.web.json_texts import parsed_json

MAX_STATUS_CHARACTERS = 250_000  # everybody who looks at the module gets it
MAX_COUNT = 10_000  # of slots, and of what runs in them


def read_status(text: str) -> dict[str, Any]:
    """The status in a JSON text; what is no object is one with `status`. Raises RequestRefused."""
    if len(text) > MAX_STATUS_CHARACTERS:
        got = f"{len(text)} characters"
        raise bad_field("statusData", f"at most {MAX_STATUS_CHARACTERS} characters", got)
    status = parsed_json(text, "statusData", max_items=MAX_STATUS_CHARACTERS)
    if not isinstance(status, dict):
        return {"status": status}
    return {key: value for key, value in status.items() if _is_kind(key, value)}


def _is_kind(key: str, value: Any) -> bool:
    return value is None or key not in _KINDS or _KINDS[key](value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def _is_list_of_ids(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "state": _is_text,
    "error": _is_text,
    "machine": _is_text,
    "slots": _is_count,
    "busy": _is_count,
    "safeMode": lambda value: isinstance(value, dict),
    "commands": _is_list_of_ids,
}
