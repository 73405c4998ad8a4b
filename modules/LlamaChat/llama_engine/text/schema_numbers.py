"""Numbers that a reply may hold: as many digits as a double tells apart, and no more.

Invariant: a number that is allowed here is within its bounds once it is read as a double. Without
an end to the digits a model with no opinion would write them for ever, and 0.000...1 is read as 0.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from llama_engine.errors import GrammarError

NUMERIC = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
MOST = 10**15 - 1
"""Fifteen digits are what a double always keeps."""
_DIGITS = 15
_PLACES = 6
_MOST_PLACES = 9
_NEAR = 10 ** (_DIGITS - _PLACES) - 1
"""As far from 0 there is room for the places; beyond it, numbers of an open range are whole."""
_LARGEST_STEP = 1_000
_NO_NUMBERS = (float("inf"), float("-inf"))


def bounded(schema: dict[str, Any], out: dict[str, Any], at: str) -> None:
    """Give the numbers of a schema their bounds, and their places after the point."""
    given = {keyword: _number(schema, keyword, at) for keyword in NUMERIC if keyword in schema}
    _check_step(given, at)
    named = schema.get("type")
    types: list[str] = named if isinstance(named, list) else [str(named)]
    if "number" in types:
        options = _ranges(given, at)
        _add_numbers(options, [each for each in types if each not in ("number", "integer")], out)
    elif "integer" in types or given:
        out |= _within(given, _step(given), MOST, at)


def as_written(value: Any, at: str) -> Any:
    """A constant, unless it has numbers that a double does not keep."""
    if isinstance(value, (list, tuple)):
        return [as_written(each, at) for each in value]
    if isinstance(value, dict):
        return {name: as_written(each, at) for name, each in value.items()}
    if isinstance(value, int) and abs(value) > 2**53:
        raise GrammarError(f"JSON schema, {at}: {value} has more digits than a number keeps")
    return value


def _number(schema: dict[str, Any], keyword: str, at: str) -> Decimal:
    """A keyword's value, exactly."""
    value = schema[keyword]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value in _NO_NUMBERS:
        raise GrammarError(f"JSON schema, {at}: {keyword}: expected a number, got {value!r}")
    is_low = keyword in ("minimum", "exclusiveMinimum")
    if keyword != "multipleOf" and (value > MOST if is_low else value < -MOST):
        raise GrammarError(
            f"JSON schema, {at}: {keyword}: expected at most {MOST} away from 0, got {value!r}"
        )
    found = Decimal(str(value))
    return max(min(found, Decimal(10 * MOST)), Decimal(-10 * MOST))


def _check_step(given: dict[str, Decimal], at: str) -> None:
    """Of `multipleOf`: the automaton has as many states as the step has units of its last place."""
    step = given.get("multipleOf")
    if step is None:
        return
    places = max(0, -int(step.normalize().as_tuple().exponent))
    if not 0 < step.scaleb(places) <= _LARGEST_STEP or places > _MOST_PLACES:
        raise GrammarError(
            f"JSON schema, {at}: multipleOf: expected more than 0, {_LARGEST_STEP} at most and "
            f"nine places at most, got {step}"
        )


def _step(given: dict[str, Decimal]) -> Decimal:
    return given.get("multipleOf", Decimal(1))


def _within(given: dict[str, Decimal], step: Decimal, reach: int, at: str) -> dict[str, Any]:
    """Both ends, which are multiples of `step` and at most `reach` away from 0."""
    lows = [Decimal(-reach)]
    highs = [Decimal(reach)]
    if "minimum" in given:
        lows.append(_up(given["minimum"], step))
    if "exclusiveMinimum" in given:
        lows.append(_down(given["exclusiveMinimum"], step) + step)
    if "maximum" in given:
        highs.append(_down(given["maximum"], step))
    if "exclusiveMaximum" in given:
        highs.append(_up(given["exclusiveMaximum"], step) - step)
    low, high = max(lows), min(highs)
    if low > high:
        raise GrammarError(f"JSON schema, {at}: minimum and maximum leave no number between them")
    found = {"minimum": _plain(low), "maximum": _plain(high)}
    return found if step == 1 or low == high else {**found, "multipleOf": _plain(step)}


def _down(value: Decimal, step: Decimal) -> Decimal:
    return (value / step).to_integral_value(ROUND_FLOOR) * step


def _up(value: Decimal, step: Decimal) -> Decimal:
    return (value / step).to_integral_value(ROUND_CEILING) * step


def _plain(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _add_numbers(options: list[dict[str, Any]], others: list[str], out: dict[str, Any]) -> None:
    """Numbers with a point, and the other types that a value may have."""
    if others:
        options.append({"type": others})
    del out["type"]
    if len(options) == 1:
        out |= options[0]
    elif "anyOf" in out:
        out["allOf"] = [*out.get("allOf", ()), {"anyOf": options}]
    else:
        out["anyOf"] = options


def _ranges(given: dict[str, Decimal], at: str) -> list[dict[str, Any]]:
    """Places for what is small, and whole numbers for what is large where an end is open."""
    if "multipleOf" in given:
        return [_numbers(given, _step(given), MOST, at)]
    is_open = not (
        given.keys() & {"minimum", "exclusiveMinimum"}
        and given.keys() & {"maximum", "exclusiveMaximum"}
    )
    far = any(abs(value) > _NEAR for value in given.values())
    reach = MOST if far else _NEAR
    step = Decimal(1).scaleb(-_places([*given.values()] or [Decimal(_NEAR)]))
    options = [_numbers(given, step, reach, at)]
    if is_open and not far:
        options.append(_numbers(given, Decimal(1), MOST, at))
    return options


def _numbers(given: dict[str, Decimal], step: Decimal, reach: int, at: str) -> dict[str, Any]:
    kind = "integer" if step == int(step) else "number"
    return {"type": kind, **_within(given, step, reach, at)}


def _places(bounds: list[Decimal]) -> int:
    """Places after the point: two more than the bounds have, as far as fifteen digits go."""
    before = len(str(int(max(abs(value) for value in bounds))))
    after = max(-int(value.normalize().as_tuple().exponent) for value in bounds)
    return max(0, min(max(_PLACES, after + 2), _DIGITS - before, _MOST_PLACES))
