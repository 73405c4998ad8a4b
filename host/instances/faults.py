"""What a module instance sends that cannot be used, counted by what it was meant to be.

Invariant: a request that can be used ends the row of its own kind only, so that a good status does
not hide that every answer is nonsense.
"""

from __future__ import annotations


class Faults:
    """Of one instance."""

    def __init__(self) -> None:
        self._in_a_row: dict[str, int] = {}
        self._words: dict[str, str] = {}

    def note(self, kind: str, error: str) -> bool:
        """A request of that kind was nonsense; True when this is the first of a row."""
        self._in_a_row[kind] = self._in_a_row.get(kind, 0) + 1
        self._words[kind] = error
        return self._in_a_row[kind] == 1

    def fine(self, kind: str) -> None:
        """A request of that kind could be used."""
        self._in_a_row.pop(kind, None)

    @property
    def worst(self) -> int:
        """The longest row that has not ended."""
        return max(self._in_a_row.values(), default=0)

    @property
    def words(self) -> str:
        """What is wrong, in plain words; empty when nothing is."""
        if not self._in_a_row:
            return ""
        kind = max(self._in_a_row, key=lambda one: self._in_a_row[one])
        times = self._in_a_row[kind]
        often = "" if times == 1 else f", {times} times in a row"
        return f"it sends what cannot be used as its {kind}{often}: {self._words[kind]}"
