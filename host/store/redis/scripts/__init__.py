"""The operations as Redis carries them out: each script is one atomic step, and one round trip.

Those that begin with `#!lua flags=allow-oom` are carried out in a full memory too: what runs goes
on, ends and is deleted; only what makes new commands is refused.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Script:
    """A script as it is sent, and the name under which Redis remembers it."""

    source: str
    sha: str


@cache
def script(name: str) -> Script:
    """The script of that name, with what every script begins with."""
    common, own = (_text(one) for one in ("common", name))
    flags, _, rest = own.partition("\n") if own.startswith("#!") else ("", "", own)
    source = "\n".join([*([flags] if flags else []), common, rest])
    return Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def _text(name: str) -> str:
    return (files(__package__) / f"{name}.lua").read_text(encoding="utf-8")
