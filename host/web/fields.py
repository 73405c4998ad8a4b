"""Numbers, ids and names in paths, queries, headers and forms: read, or refused by name."""

from __future__ import annotations

from contextlib import suppress

from host.web.errors import SHOWN_CHARS, bad_field

MAX_NAME_CHARS = 200


def whole_number(name: str, text: str | None) -> int | None:
    """A whole number from 0 on; None where nothing came. Raises RequestRefused."""
    if not text:
        return None
    with suppress(ValueError):
        if (number := int(text)) >= 0:
            return number
    raise bad_field(name, "a whole number, 0 or more", repr(text[:SHOWN_CHARS]))


def seconds(name: str, text: str | None, limit_s: float) -> float | None:
    """Seconds from 0 to `limit_s`; None where nothing came. Raises RequestRefused."""
    if not text:
        return None
    with suppress(ValueError):
        if 0 <= (number := float(text)) <= limit_s:
            return number
    raise bad_field(name, f"seconds from 0 to {limit_s:g}", repr(text[:SHOWN_CHARS]))


def name(field: str, text: str) -> str:
    """An id, or another short name that is looked up, kept or logged: printable, so without
    control characters and halves of surrogate pairs. Raises RequestRefused."""
    if len(text) <= MAX_NAME_CHARS and text.isprintable():
        return text
    got = f"{len(text)} characters" if len(text) > MAX_NAME_CHARS else ascii(text[:SHOWN_CHARS])
    raise bad_field(field, f"at most {MAX_NAME_CHARS} printable characters", got)
