"""Records of live commands on disk: lines in rows, one row for all that were written at once.

Many commands start in the same moment and end at different times, so they are written together and
leave one by one: a newer line of a command makes the older one dead, and a line without a record
says that it has ended. A row of dead lines is removed at once; `clean` removes the dead lines among
others, and with them the ends.

Invariant: of a command's lines, the one in the newest row counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any

PREFIX = "log:"
ENDED = ""  # instead of a record
_LINES = 64  # in a row, at most


class LiveLog:
    """The rows in a diskcache. Its caller makes transactions; after a failed one, `load` again."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache
        self._next = 1
        self._row_of: dict[str, int] = {}  # command id -> the row of its newest line
        self._ended: set[str] = set()  # ids whose newest line says so
        self._counting: dict[int, set[str]] = {}  # row -> ids whose newest line is in it
        self._dead: defaultdict[int, set[str]] = defaultdict(set)  # row -> ids of its dead lines
        self._dead_in: defaultdict[str, set[int]] = defaultdict(set)  # the same, by id

    def __contains__(self, command_id: str) -> bool:
        return command_id in self._row_of

    def load(self) -> dict[str, str]:
        """Learn what is on disk: the newest record of each live command, by its id."""
        for known in (self._row_of, self._counting, self._dead, self._dead_in):
            known.clear()
        self._ended.clear()
        records: dict[str, str] = {}
        for number in self._numbers():
            lines = dict(_lines(self._cache.get(_key(number))))
            records.update(lines)
            self._place(number, lines.items())
        return {one: text for one, text in records.items() if text != ENDED}

    def put(self, records: Iterable[tuple[str, str]]) -> None:
        """Write the newest records of some commands, without line breaks, or that they ENDED."""
        waiting = list(records)
        for start in range(0, len(waiting), _LINES):
            lines = waiting[start : start + _LINES]
            self._cache.set(_key(self._next), _row(lines))
            self._place(self._next, lines)

    def clean(self, command_id: str | None = None) -> None:
        """Remove what is dead of a command, or of all, from the disk."""
        ended = self._ended if command_id is None else self._ended & {command_id}
        for one in list(ended):
            self._ended.discard(one)
            self._bury(one, self._row_of.pop(one))
        rows = self._dead if command_id is None else self._dead_in.get(command_id, ())
        for number in list(rows):
            lines = _lines(self._cache.get(_key(number)))
            counting = self._counting[number]
            self._cache.set(_key(number), _row(line for line in lines if line[0] in counting))
            self._forget_dead(number)

    def _place(self, number: int, lines: Iterable[tuple[str, str]]) -> None:
        """Note that a row has these lines; of their commands, they are the newest."""
        self._next = number + 1
        self._counting[number] = set()
        for command_id, text in lines:
            before = self._row_of.get(command_id)
            self._row_of[command_id] = number
            self._counting[number].add(command_id)
            if before is not None:
                self._bury(command_id, before)
            if text == ENDED:
                self._ended.add(command_id)
            else:
                self._ended.discard(command_id)

    def _bury(self, command_id: str, number: int) -> None:
        """The command's line in that row counts no more."""
        counting = self._counting[number]
        counting.discard(command_id)
        if counting:
            self._dead[number].add(command_id)
            self._dead_in[command_id].add(number)
        else:
            del self._counting[number]
            self._cache.delete(_key(number))
            self._forget_dead(number)

    def _forget_dead(self, number: int) -> None:
        for command_id in self._dead.pop(number, ()):
            rows = self._dead_in[command_id]
            rows.discard(number)
            if not rows:
                del self._dead_in[command_id]

    def _numbers(self) -> list[int]:
        later = takewhile(lambda key: key >= PREFIX, self._cache.iterkeys(reverse=True))
        return sorted(int(key.removeprefix(PREFIX)) for key in later if key.startswith(PREFIX))


def _key(number: int) -> str:
    return f"{PREFIX}{number:016d}"


def _row(lines: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"{command_id} {text}" for command_id, text in lines)


def _lines(row: object) -> Iterator[tuple[str, str]]:
    """The ids and records of a row; a line that is none is passed over."""
    for line in str(row or "").split("\n"):
        command_id, space, text = line.partition(" ")
        if space:
            yield command_id, text
