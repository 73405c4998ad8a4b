"""What a command puts out: pieces of text in channels, in their order, and its status fields.

Invariant: each channel only grows; what one receiver holds of every channel tells what it lacks.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdk.host.wire import PieceProgress


@dataclass(frozen=True)
class Channel:
    """`index` and `label` tell apart what has one name: the calls of tools, say."""

    name: str
    index: int | None = None
    label: str = ""


REPLY = Channel("reply")


@dataclass
class _Run:
    """Text that came in one channel, before anything came in another."""

    channel: Channel
    offset: int
    parts: list[str] = field(default_factory=list)

    def text(self) -> str:
        if len(self.parts) > 1:
            self.parts = ["".join(self.parts)]
        return self.parts[0]


class Output:
    """What one command has put out so far, and its status fields. From any thread; once it is
    closed, nothing changes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: list[_Run] = []
        self._lengths: dict[Channel, int] = {}
        self._total = 0
        self._fields: dict[str, Any] = {}
        self._fields_version = 0
        self._is_closed = False

    def add(self, channel: Channel, text: str) -> int | None:
        """Adds to the end of a channel: how many code points there were in all; None: closed."""
        with self._lock:
            if self._is_closed:
                return None
            before = self._total
            offset = self._lengths.get(channel, 0)
            if not self._runs or self._runs[-1].channel != channel:
                self._runs.append(_Run(channel, offset))
            self._runs[-1].parts.append(text)
            self._lengths[channel] = offset + len(text)
            self._total += len(text)
            return before

    def set(self, fields: Mapping[str, Any]) -> bool:
        """Changes fields; False: closed."""
        with self._lock:
            if self._is_closed:
                return False
            self._fields.update(fields)
            self._fields_version += 1
            return True

    def close(self) -> None:
        """The command has ended: from here on its thread is talking to nobody."""
        with self._lock:
            self._is_closed = True

    @property
    def total(self) -> int:
        """Code points of all channels."""
        with self._lock:
            return self._total

    def length(self, channel: Channel) -> int:
        with self._lock:
            return self._lengths.get(channel, 0)

    def text(self, channel: Channel) -> str:
        with self._lock:
            return "".join(run.text() for run in self._runs if run.channel == channel)

    def fields(self) -> tuple[dict[str, Any], int]:
        """A copy of the fields, and a number that grows with every change."""
        with self._lock:
            return dict(self._fields), self._fields_version

    @property
    def has_reply_alone(self) -> bool:
        with self._lock:
            return all(channel == REPLY for channel in self._lengths)

    def lacking(self, held: Mapping[Channel, int], most: int) -> list[PieceProgress]:
        """What one lacks who holds so much of each channel, in its order; so many code points at
        most."""
        with self._lock:
            return _cut(self._missing(held)[::-1], most)

    def _missing(self, held: Mapping[Channel, int]) -> list[PieceProgress]:
        """The last pieces first."""
        there = (min(held.get(one, 0), length) for one, length in self._lengths.items())
        missing = self._total - sum(there)
        found: list[PieceProgress] = []
        for run in reversed(self._runs):
            if missing <= 0:
                break
            skipped = max(0, held.get(run.channel, 0) - run.offset)
            text = run.text()[skipped:]
            missing -= len(text)
            if text:
                found.append(_piece(run.channel, run.offset + skipped, text))
        return found


def _piece(channel: Channel, offset: int, text: str) -> PieceProgress:
    piece: PieceProgress = {"channel": channel.name, "offset": offset, "text": text}
    if channel.index is not None:
        piece["index"], piece["name"] = channel.index, channel.label
    return piece


def _cut(pieces: list[PieceProgress], most: int) -> list[PieceProgress]:
    found = []
    for piece in pieces:
        piece["text"] = piece["text"][:most]
        most -= len(piece["text"])
        if piece["text"]:
            found.append(piece)
    return found
