"""Check a request against the inputs that its route declares, before it is queued.

Only routes marked as long processes are checked: their caller would else learn of a typing error
from a poll. `Required`, `Minimum` and `Maximum` are this project's additions to the route map.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from host.settings import RouteParameter
from host.web.errors import bad_field
from host.wire import Payload, first_value

_NUMBERS = {"integer": (int, "an integer"), "float": (float, "a number")}


def check_inputs(inputs: Iterable[RouteParameter], payload: Payload) -> None:
    """Raise RequestRefused (400) for the first field that is missing or not what it should be."""
    for declared in inputs:
        value = first_value(payload, declared.name)
        if declared.required and not (value or "").strip():
            raise bad_field(declared.name, "a text", "nothing" if value is None else "an empty one")
        if value and declared.type.lower() in _NUMBERS:
            _check_number(declared, value)


def _check_number(declared: RouteParameter, value: str) -> None:
    parse, noun = _NUMBERS[declared.type.lower()]
    low, high = declared.minimum, declared.maximum
    expected = noun + _range_words(low, high)
    try:
        number = parse(value)
    except ValueError:
        raise bad_field(declared.name, expected, repr(value[:80])) from None
    outside = (low is not None and number < low) or (high is not None and number > high)
    if outside or not math.isfinite(number):
        raise bad_field(declared.name, expected, value[:80])


def _range_words(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {low:.15g} to {high:.15g}"
    if low is not None:
        return f" of at least {low:.15g}"
    return "" if high is None else f" of at most {high:.15g}"
