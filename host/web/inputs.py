"""Check a request against the inputs that its route declares, before it is queued.

Only routes marked as long processes are checked: their caller would else learn of a typing error
from a poll. `Required`, `RequiredUnless`, `Minimum`, `Maximum`, `Enum`, `Json` and `Pattern` are
this project's additions to the route map. Invariant: what passes here, the SDK's own reading does
not refuse.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from host.settings import RouteParameter
from host.web.errors import SHOWN_CHARS, RequestRefused, bad_field
from host.web.json_texts import check_json_size
from host.wire import Payload

MAX_WARNED_FIELDS = 20

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,4300}", re.ASCII)  # Python converts no longer ones
_BOOLEANS = frozenset("1 true t yes y on 0 false f no n off".split())
_JSON_KINDS: dict[str, tuple[type, str]] = {
    "object": (dict, "a JSON object"),
    "array": (list, "a JSON array"),
    "any": (object, "JSON"),
}


class Inputs:
    """What a route declares."""

    def __init__(self, declared: Sequence[RouteParameter] = ()) -> None:
        self._names = {one.name: None for one in declared}
        self._files = [one for one in declared if _is_file(one) and one.required]
        self._fields = [one for one in declared if not _is_file(one)]

    def check(self, payload: Payload) -> None:
        """Raise RequestRefused (400) for the first field that is missing or not what it should
        be."""
        if self._files:
            _check_files(self._files, payload)
        sent = {one["key"]: one["value"][0] for one in payload["values"] if one["value"]}
        for declared in self._fields:
            value = sent.get(declared.name)
            filled = value.strip() if value else ""
            if filled:
                _check_value(declared, filled)
            elif _is_needed(declared, sent):
                got = "nothing" if value is None else "an empty one"
                other = f", or {declared.required_unless}" if declared.required_unless else ""
                raise bad_field(declared.name, f"a text{other}", got)

    def unknown(self, payload: Payload) -> list[str]:
        """A warning for each field that the route does not declare; none where it declares nothing.

        They are no errors: modules may read more than they declare.
        """
        if not self._names:
            return []
        unknown = [one["key"] for one in payload["values"] if one["key"] not in self._names]
        return [_warning(name[:SHOWN_CHARS], self._names) for name in unknown[:MAX_WARNED_FIELDS]]


def _warning(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    meant = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"
    return f"{name}: this route has no such input; {meant}"


def _is_needed(declared: RouteParameter, sent: Mapping[str, str | None]) -> bool:
    other = declared.required_unless
    return declared.required or bool(other and not (sent.get(other) or "").strip())


def _is_file(declared: RouteParameter) -> bool:
    return declared.type.lower() == "file"


def _check_files(required: Sequence[RouteParameter], payload: Payload) -> None:
    """Modules read files by their place, so that any name will do if there are enough."""
    sent = len(payload["files"])
    if sent >= len(required):
        return
    names = {file["name"] for file in payload["files"]}
    missing = next((one.name for one in required if one.name not in names), required[-1].name)
    got = f"{sent} of {len(required)} files" if sent else "no file"
    raise bad_field(missing, "a file, as multipart/form-data has it", got)


def _check_value(declared: RouteParameter, value: str) -> None:
    check = _BY_TYPE.get(declared.type.lower())
    if check is not None:
        check(declared, value)
    if declared.enum and value not in declared.enum:
        raise _refusal(declared, f"one of {', '.join(declared.enum)}", value)
    if declared.pattern and not re.fullmatch(declared.pattern, value):
        raise _refusal(declared, f"a text that matches {declared.pattern}", value)
    if declared.json_kind:
        _check_json(declared, value)


def _check_integer(declared: RouteParameter, value: str) -> None:
    if not _WHOLE_NUMBER.fullmatch(value):
        raise _refusal(declared, "an integer" + _range_words(declared), value)
    _check_range(declared, "an integer", int(value))


def _check_float(declared: RouteParameter, value: str) -> None:
    try:
        number = math.nan if "_" in value else float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _refusal(declared, "a number" + _range_words(declared), value)
    _check_range(declared, "a number", number)


def _check_range(declared: RouteParameter, noun: str, number: float) -> None:
    low, high = declared.minimum, declared.maximum
    if (low is not None and number < low) or (high is not None and number > high):
        got = str(number)[:SHOWN_CHARS]
        raise bad_field(declared.name, noun + _range_words(declared), got)


def _check_boolean(declared: RouteParameter, value: str) -> None:
    if value.lower() not in _BOOLEANS:
        raise _refusal(declared, "true or false", value)


def _check_json(declared: RouteParameter, value: str) -> None:
    kind, expected = _JSON_KINDS[str(declared.json_kind)]
    try:
        check_json_size(value, declared.name)
        found = json.loads(value)
    except (ValueError, RecursionError):
        raise _refusal(declared, expected, value) from None
    if not isinstance(found, kind):
        raise _refusal(declared, expected, value)


_BY_TYPE: dict[str, Callable[[RouteParameter, str], None]] = {
    "integer": _check_integer,
    "float": _check_float,
    "boolean": _check_boolean,
}


def _refusal(declared: RouteParameter, expected: str, value: str) -> RequestRefused:
    return bad_field(declared.name, expected, repr(value[:SHOWN_CHARS]))


def _range_words(declared: RouteParameter) -> str:
    low, high = declared.minimum, declared.maximum
    if low is not None and high is not None:
        return f" from {low:.15g} to {high:.15g}"
    if low is not None:
        return f" of at least {low:.15g}"
    return "" if high is None else f" of at most {high:.15g}"
