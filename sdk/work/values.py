"""From the text of a client's value to what a module asks for.

Invariant: text that does not parse raises a `RequestError` that names the field.
"""

from __future__ import annotations

import json
import math
import re
from typing import TypeVar

from sdk.host.errors import RequestError

Number = TypeVar("Number", int, float)
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+", re.ASCII)
TRUE_WORDS = frozenset(("1", "true", "t", "yes", "y", "on"))
FALSE_WORDS = frozenset(("0", "false", "f", "no", "n", "off"))


def as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def whole_number(key: str, text: str) -> int:
    try:
        if WHOLE_NUMBER.fullmatch(text):
            return int(text)
    except ValueError:
        pass  # more digits than Python is willing to convert
    raise RequestError(key, "a whole number", text)


def finite_number(key: str, text: str) -> float:
    try:
        number = math.nan if "_" in text else float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise RequestError(key, "a finite number", text)
    return number


def truth(key: str, text: str) -> bool:
    if text.lower() in TRUE_WORDS:
        return True
    if text.lower() in FALSE_WORDS:
        return False
    raise RequestError(key, "true or false", text)


def within(key: str, number: Number, minimum: Number | None, maximum: Number | None) -> Number:
    if minimum is not None and number < minimum:
        raise RequestError(key, f"at least {minimum}", number)
    if maximum is not None and number > maximum:
        raise RequestError(key, f"at most {maximum}", number)
    return number
