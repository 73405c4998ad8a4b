"""JSON that others wrote: what is in it is counted before anything is built of it.

Invariant: neither time nor memory grows with anything but the text's length and `max_items`: a few
bytes of JSON make an object of a hundred, and a text of brackets alone no end of them.
"""

from __future__ import annotations

import json
import re
from typing import Any

from host.web.errors import bad_field

MAX_DEPTH = 100
MAX_ITEMS = 50_000  # values of lists and objects, at all depths together

_ITEMS = ",[{"  # what stands before each item, but for the first of an empty list
_COUNTED_CHARS = 65536  # at once
_BRACKETS = re.compile(r"[\[\]{}]")


def parsed_json(
    text: str, field: str, expected: str = "a JSON object", max_items: int = MAX_ITEMS
) -> Any:
    """The value. Raises RequestRefused (400) for what is malformed, too deep, or of too many."""
    check_json_size(text, field, max_items)
    try:
        return json.loads(text)
    except ValueError as error:
        raise bad_field(field, expected, f"malformed JSON: {error}") from None
    except RecursionError:
        raise bad_field(field, expected, "one nested too deeply") from None


def check_json_size(text: str, field: str, max_items: int = MAX_ITEMS) -> None:
    """Raises RequestRefused (400) for what is too deep, or of too many items."""
    if len(text) <= MAX_DEPTH or not _has_more(text, _ITEMS, MAX_DEPTH):
        return
    plain = text.replace("\\\\", "").replace('\\"', "")  # every quote left begins or ends a string
    if _has_more(plain, '"', 4 * max_items):  # a key and a value of each have two
        raise _too_many(field, max_items)
    outside = "".join(plain.split('"')[::2])
    if _has_more(outside, _ITEMS, max_items):
        raise _too_many(field, max_items)
    if _is_too_deep(outside):
        expected = f"JSON of at most {MAX_DEPTH} levels"
        raise bad_field(field, expected, "one nested too deeply")


def _has_more(text: str, marks: str, most: int) -> bool:
    """Whether there are more than `most` of these, found without looking at them all."""
    count = 0
    for begin in range(0, len(text), _COUNTED_CHARS):
        count += sum(text.count(mark, begin, begin + _COUNTED_CHARS) for mark in marks)
        if count > most:
            return True
    return False


def _too_many(field: str, max_items: int) -> Exception:
    return bad_field(field, f"JSON of at most {max_items} items", "more")


def _is_too_deep(outside: str) -> bool:
    depth = 0
    for bracket in _BRACKETS.finditer(outside):
        depth += 1 if bracket[0] in "[{" else -1
        if depth < 0:  # malformed: the parser says so
            return False
        if depth > MAX_DEPTH:
            return True
    return False
