"""The host's log as clients read it: the newest entries, kept in memory.

Invariant: memory is bounded, in the number of entries and in the length of each part of one, and so
is what one answer lists; ids only grow. An entry is one line, whoever wrote it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from host.log.plain import one_line

MAX_ENTRIES = 2_000
MAX_ENTRY_CHARACTERS = 4_000
MAX_NAME_CHARACTERS = 100  # of a category, of a label
MAX_LISTED_CHARACTERS = 250_000  # about a megabyte of JSON at the most

_logger = logging.getLogger("llamachat")

_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "information": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
_OTHER_NAMES = {"info": "information", "warn": "warning", "fatal": "critical"}


@dataclass(frozen=True)
class LogEntry:
    """One entry; the field names are those of the wire. `timestamp` is ISO 8601 in UTC."""

    id: int
    timestamp: str
    entry: str
    level: str
    category: str
    label: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class LogRing:
    """Keeps the newest entries and passes each on to Python's logging. Usable from any thread.

    `sinks` are called with every entry, one at a time; they must not raise.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self.sinks: list[Callable[[LogEntry], None]] = []
        self._entries: deque[LogEntry] = deque(maxlen=max_entries)
        self._last_id = 0
        self._lock = threading.Lock()

    def add(
        self, entry: str, *, level: str = "information", category: str = "", label: str = ""
    ) -> LogEntry:
        """Note an entry. `category` is who it is about (a module's id, or "host"), `label` what.

        An unknown level is taken as information; what is long is cut, what is special escaped.
        """
        level = level_name(level)
        entry = one_line(_cut(entry, MAX_ENTRY_CHARACTERS))
        category = one_line(_cut(category, MAX_NAME_CHARACTERS))
        label = one_line(_cut(label, MAX_NAME_CHARACTERS))
        timestamp = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        with self._lock:
            self._last_id += 1
            made = LogEntry(self._last_id, timestamp, entry, level, category, label)
            self._entries.append(made)
            for sink in self.sinks:
                sink(made)
        _logger.log(_LEVELS[level], "%s: %s", category or "host", made.entry)
        return made

    def list(
        self, last_id: int = 0, count: int = 10, category: str | None = None
    ) -> list[LogEntry]:
        """At most `count` entries, oldest first; with `category` only those (case aside). Fewer,
        but always one, where they are long.

        With `last_id` 0 these are the newest; else the first ones after `last_id`, so that a
        reader who passes on the last id it saw misses none that is still kept.
        """
        with self._lock:
            after = [item for item in self._entries if item.id > last_id]
        if category is not None:
            after = [item for item in after if item.category.lower() == category.lower()]
        if count <= 0:
            return []
        if last_id > 0:
            return after[: min(count, _fitting(after))]
        newest = after[::-1]
        return newest[: min(count, _fitting(newest))][::-1]


def level_name(level: str) -> str:
    """The level as the wire spells it."""
    name = level.strip().lower()
    name = _OTHER_NAMES.get(name, name)
    return name if name in _LEVELS else "information"


def _fitting(entries: Sequence[LogEntry]) -> int:
    """How many of the first entries one answer may list."""
    characters = 0
    for number, one in enumerate(entries):
        characters += len(one.entry) + len(one.category) + len(one.label)
        if characters > MAX_LISTED_CHARACTERS:
            return max(1, number)
    return len(entries)


def _cut(text: str, limit: int) -> str:
    more = len(text) - limit
    return f"{text[:limit]}... ({more} characters more)" if more > 0 else text
