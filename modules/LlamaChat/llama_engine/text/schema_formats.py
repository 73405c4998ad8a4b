"""Formats of JSON schema as patterns.

Invariant: what a pattern here matches is valid for the format's RFC and for Python's own parsers:
no 30th of February, no year 0, no leap second. It may match less than all that is valid.

Source: https://json-schema.org/draft/2020-12/json-schema-validation#section-7.3
"""

from __future__ import annotations

_LEAP = (
    "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])"
    "|(?:0[48]|[13579][26]|[2468][048])00)"
)  # fmt: skip
_YEAR = "(?:[1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
_LONG = "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
_SHORT = "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
_FEBRUARY = "02-(?:0[1-9]|1[0-9]|2[0-8])"
_DATE = f"(?:{_YEAR}-(?:{_LONG}|{_SHORT}|{_FEBRUARY})|{_LEAP}-02-29)"
_CLOCK = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_CLOCK}:[0-5][0-9](?:\.[0-9]{{1,6}})?(?:Z|[+-]{_CLOCK})"
_DURATION = (
    "P(?:[0-9]{1,4}W|[0-9]{1,5}D(?:T[0-9]{1,2}H[0-9]{1,2}M)?"
    "|T(?:[0-9]{1,4}H(?:[0-9]{1,2}M)?|[0-9]{1,4}M(?:[0-9]{1,2}S)?|[0-9]{1,5}S))"
)


def _uuid(version: str) -> str:
    digit = "[0-9a-f]"
    return f"^{digit}{{8}}-{digit}{{4}}-{version}{digit}{{3}}-[89ab]{digit}{{3}}-{digit}{{12}}$"


FORMATS = {
    "date": f"^{_DATE}$",
    "time": f"^{_TIME}$",
    "date-time": f"^{_DATE}T{_TIME}$",
    "duration": f"^{_DURATION}$",
    "uuid": _uuid("[1-8]"),
    **{f"uuid{version}": _uuid(str(version)) for version in range(1, 9)},
}
"""Format: pattern."""
KEPT_FORMATS = frozenset("email hostname ipv4 ipv6 uri".split())
"""Formats that llguidance keeps by itself."""
