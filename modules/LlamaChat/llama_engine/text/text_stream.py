"""From a reply's bytes to text that may be shown.

Invariant: what `push` returns ends on a UTF-8 border, never contains a stop string, and never ends
with what may yet turn out to be the beginning of one.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class TextStream:
    """The text of one reply as it grows."""

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stop = tuple(stop)
        self._held = ""
        self.is_stopped = False
        """Whether a stop string was met; nothing comes out after it."""

    def push(self, piece: bytes) -> str:
        """Take a token's bytes; returns the text that can be shown now."""
        if self.is_stopped:
            return ""
        text = self._held + self._decoder.decode(piece)
        if not self._stop:
            return text
        cut = self._first_stop(text)
        if cut is not None:
            self.is_stopped, self._held = True, ""
            return text[:cut]
        keep = self._possible_stop(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What was held back, at the end of a reply. Half a character is left out."""
        text, self._held = self._held, ""
        return "" if self.is_stopped else text

    def _first_stop(self, text: str) -> int | None:
        found = [at for at in (text.find(stop) for stop in self._stop) if at >= 0]
        return min(found, default=None)

    def _possible_stop(self, text: str) -> int:
        """Length of the longest end of the text that a stop string begins with."""
        longest = min(len(text), max(map(len, self._stop)) - 1)
        for length in range(longest, 0, -1):
            end = text[len(text) - length :]
            if any(stop.startswith(end) for stop in self._stop):
                return length
        return 0
