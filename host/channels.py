"""What a command puts out: a log of typed pieces in channels, each of which only grows.

Invariants: an Output never changes; its `length` counts the code points of all channels together,
and whoever reads on from one sees everything after it once, however it was cut when it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

REPLY = "reply"
REASONING = "reasoning"
TOOL_CALLS = "tool_calls"

# what is called by the same name is told apart by a number, and may say what it is
_NAME = re.compile(r"[a-z][a-z_]{0,39}(:\d{1,4}:[^\n\x00]{0,100})?")


class Piece(NamedTuple):
    """Text in a channel; `tool_calls:0:weather` is the arguments of the first call."""

    channel: str
    text: str

    def spoken(self) -> dict[str, Any]:
        """As the wire has it."""
        return {**parts_of(self.channel), "text": self.text}


@dataclass(frozen=True)
class Output:
    """`runs` says how many code points came in which channel, in their order."""

    texts: dict[str, str] = field(default_factory=dict)
    runs: tuple[tuple[str, int], ...] = ()
    length: int = 0

    @staticmethod
    def of(pieces: Iterable[Piece]) -> Output:
        """Everything that was put out, in its order."""
        parts: dict[str, list[str]] = {}
        runs: list[tuple[str, int]] = []
        for channel, text in pieces:
            parts.setdefault(channel, []).append(text)
            before = runs.pop()[1] if runs and runs[-1][0] == channel else 0
            runs.append((channel, before + len(text)))
        texts = {channel: "".join(some) for channel, some in parts.items()}
        return Output(texts, tuple(runs), sum(count for _, count in runs))

    @property
    def reply(self) -> str:
        return self.texts.get(REPLY, "")

    def grown(self, channel: str, text: str) -> Output:
        """With more of a channel."""
        runs, count = self.runs, len(text)
        if runs and runs[-1][0] == channel:
            runs, count = runs[:-1], count + runs[-1][1]
        texts = {**self.texts, channel: self.texts.get(channel, "") + text}
        return Output(texts, (*runs, (channel, count)), self.length + len(text))

    def since(self, sequence: int) -> list[Piece]:
        """What came after so many code points of all channels."""
        found, at, ends = [], 0, dict.fromkeys(self.texts, 0)
        for channel, count in self.runs:
            skipped = max(0, min(count, sequence - at))
            begins, ends[channel] = ends[channel] + skipped, ends[channel] + count
            at += count
            if skipped < count:
                found.append(Piece(channel, self.texts[channel][begins : ends[channel]]))
        return found

    def sequence_at(self, offset: int) -> int:
        """Where a reader is who has seen so much of the reply: just behind that."""
        at, left = 0, offset
        for channel, count in self.runs:
            if not left:
                break
            at += min(count, left) if channel == REPLY else count
            left -= min(count, left) if channel == REPLY else 0
        return at + left  # a host that was killed may hold less than it had shown

    def offset_at(self, sequence: int) -> int:
        """How much of the reply a reader has seen who is there."""
        rest = sum(len(piece.text) for piece in self.since(sequence) if piece.channel == REPLY)
        return len(self.reply) - rest + max(0, sequence - self.length)


NO_OUTPUT = Output()


def channel_name(name: str, index: int | None = None, label: str = "") -> str:
    """The channel of that name. Raises ValueError for what is none."""
    channel = name if index is None else f"{name}:{index}:{label}"
    if not _NAME.fullmatch(channel):
        raise ValueError(f"expected a name of small letters, got {channel!r:.80}")
    return channel


def parts_of(channel: str) -> dict[str, Any]:
    """A channel as the wire names it: `channel`, and where there are several `index` and `name`."""
    name, _, rest = channel.partition(":")
    if not rest:
        return {"channel": name}
    index, _, label = rest.partition(":")
    return {"channel": name, "index": int(index), "name": label}
