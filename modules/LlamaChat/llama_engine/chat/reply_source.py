"""A reply's text as it comes, read from front to back.

Invariant: what a reader decides depends on the text alone, never on where it was cut: it waits for
more until it can tell. Readers are generators that yield while they wait, and return what they
found.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from typing import TypeVar

_Found = TypeVar("_Found")
Reading = Generator[None, None, _Found]

_NAME = re.compile(r"[A-Za-z0-9_.-]*")
_SPACE = re.compile(r"\s*")
_BRACKET = re.compile(r'["{}\[\]]')
_STRING_END = re.compile(r'["\\]')


class Source:
    """What has come, and how far it is read. A reader may go back to where it was."""

    def __init__(self) -> None:
        self.text = ""
        self.at = 0
        self.is_ended = False

    def forget(self) -> None:
        """Let go of what was read. Nobody may hold a place in it."""
        self.text, self.at = self.text[self.at :], 0

    @property
    def rest(self) -> str:
        return self.text[self.at :]

    def take(self, end: int) -> str:
        """The text up to there, which is read by that."""
        taken, self.at = self.text[self.at : end], end
        return taken

    def literal(self, *options: str) -> Reading[str | None]:
        """The first of these texts that comes next, or None, and nothing is read."""
        for option in options:
            while not self.text.startswith(option, self.at):
                if self.is_ended or not option.startswith(self.rest):
                    break
                yield
            else:
                self.at += len(option)
                return option
        return None

    def begins(self, text: str) -> Reading[bool]:
        """Whether this comes next. Nothing is read."""
        before = self.at
        found = yield from self.literal(text)
        self.at = before
        return found is not None

    def space(self) -> Reading[None]:
        """What is blank."""
        yield from self._run(_SPACE)

    def name(self) -> Reading[str]:
        """A tool's name; empty where none comes."""
        return (yield from self._run(_NAME))

    def _run(self, pattern: re.Pattern[str]) -> Reading[str]:
        while True:
            end = _end(pattern, self.text, self.at)
            if end < len(self.text) or self.is_ended:
                return self.take(end)
            yield

    def json(self) -> Reading[int | None]:
        """Where the JSON object or list ends that begins here; None where the text ends before.

        Nothing is read. Yields whenever it has seen all that there is.
        """
        at, depth, in_string = self.at, 0, False
        while True:
            found = (_STRING_END if in_string else _BRACKET).search(self.text, at)
            if found is None or (found[0] == "\\" and found.end() == len(self.text)):
                at = len(self.text) if found is None else found.start()
                if self.is_ended:
                    return None
                yield
                continue
            at = found.end()
            if found[0] == "\\":
                at += 1
            elif found[0] == '"':
                in_string = not in_string
            else:
                depth += 1 if found[0] in "{[" else -1
                if depth == 0:
                    return at

    def until(self, marker: str, most_chars: int) -> Reading[str | None]:
        """What comes before a marker, and both are read; None where it is not within so many
        characters, and nothing is read."""
        while True:
            found = self.text.find(marker, self.at)
            if found >= 0:
                before = self.take(found)
                self.at += len(marker)
                return before
            if self.is_ended or len(self.text) - self.at > most_chars:
                return None
            yield


def held_back(text: str, markers: Sequence[str]) -> int:
    """How much of a text's end may be the beginning of a marker, with the space before it."""
    longest = max((len(marker) for marker in markers), default=1) - 1
    for length in range(min(len(text), longest), 0, -1):
        end = text[-length:]
        if any(marker.startswith(end) for marker in markers):
            return length + _trailing_space(text[:-length])
    return _trailing_space(text) if markers else 0


def _trailing_space(text: str) -> int:
    return len(text) - len(text.rstrip())


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()
