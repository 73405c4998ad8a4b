"""What others may write into the log: so much of each in a minute, and not more.

Invariant: nobody rotates the log away from the rest. What is left out is counted, and said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from host.log.ring import MAX_ENTRY_CHARACTERS, LogRing

WINDOW_S = 60.0
MAX_ENTRIES = 1_000  # of one source in a window
MAX_CHARACTERS = 250_000


@dataclass
class _Source:
    """What one has written since its window began."""

    since: float
    entries: int = 0
    characters: int = 0
    left_out: int = 0


class FloodGate:
    """Before the ring, for entries that come from outside. `sources` are told apart, letter case
    aside; whatever calls itself something else shares one measure. `clock` counts seconds."""

    def __init__(
        self,
        log: LogRing,
        sources: Iterable[str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._names = {one.lower(): one for one in sources}
        self._clock = clock
        self._seen: dict[str, _Source] = {}

    def add(self, entry: str, *, level: str, category: str, label: str) -> bool:
        """Note an entry, as `LogRing.add` does; False where it is left out."""
        name = self._names.get(category.lower(), "")
        source = self._window(name)
        source.entries += 1
        source.characters += min(len(entry), MAX_ENTRY_CHARACTERS)  # the ring cuts the rest
        if source.entries <= MAX_ENTRIES and source.characters <= MAX_CHARACTERS:
            self._log.add(entry, level=level, category=category, label=label)
            return True
        source.left_out += 1
        if source.left_out == 1:
            self._say(name, f"more than {_LIMITS}: what else comes in it is left out")
        return False

    def _window(self, name: str) -> _Source:
        """The source's measure, begun anew where the last one is over."""
        now = self._clock()
        source = self._seen.get(name)
        if source is not None and now - source.since < WINDOW_S:
            return source
        if source is not None and source.left_out:
            self._say(name, f"{source.left_out} log entries were left out: more than {_LIMITS}")
        source = self._seen[name] = _Source(now)
        return source

    def _say(self, name: str, text: str) -> None:
        self._log.add(text, level="warning", category=name or "host", label="log")


_LIMITS = f"{MAX_ENTRIES} log entries or {MAX_CHARACTERS} characters in a minute"
