"""The operations as Redis carries them out: each script is one atomic step, and one round trip."""

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
    folder = files(__package__)
    parts = [(folder / f"{one}.lua").read_text(encoding="utf-8") for one in ("common", name)]
    source = "\n".join(parts)
    return Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
