"""What a command puts out: pieces of text in channels, in their order.

Invariant: each channel only grows; what one receiver holds of every channel tells what it lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    """Not safe for threads by itself: its owner has a lock."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._lengths: dict[Channel, int] = {}
        self.total = 0

    def add(self, channel: Channel, text: str) -> None:
        """Adds to the end of a channel."""
        offset = self._lengths.get(channel, 0)
        if not self._runs or self._runs[-1].channel != channel:
            self._runs.append(_Run(channel, offset))
        self._runs[-1].parts.append(text)
        self._lengths[channel] = offset + len(text)
        self.total += len(text)

    def length(self, channel: Channel) -> int:
        return self._lengths.get(channel, 0)

    def text(self, channel: Channel) -> str:
        return "".join(run.text() for run in self._runs if run.channel == channel)

    @property
    def has_reply_alone(self) -> bool:
        return all(channel == REPLY for channel in self._lengths)

    def lacking(self, held: Mapping[Channel, int], most: int) -> list[PieceProgress]:
        """What comes after that of each channel, in its order, so many code points at most."""
        there = (min(held.get(one, 0), length) for one, length in self._lengths.items())
        missing = self.total - sum(there)
        found: list[PieceProgress] = []
        for run in reversed(self._runs):
            if missing <= 0:
                break
            skipped = max(0, held.get(run.channel, 0) - run.offset)
            text = run.text()[skipped:]
            missing -= len(text)
            if text:
                found.append(_piece(run.channel, run.offset + skipped, text))
        return _cut(found[::-1], most)


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
