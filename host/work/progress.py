"""What one item of a progress report asks of the store, and what it is answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from host.channels import channel_name, parts_of
from host.commands import CommandError
from host.store.protocol import Append
from host.wire import CommandProgress


@dataclass
class ItemProgress:
    """Pieces go to their channels in their order, and the reply's text after them."""

    item: CommandProgress
    appends: list[Append] = field(default_factory=list)
    found: list[int | CommandError] = field(default_factory=list)  # for each append, its answer
    error: str = ""

    @staticmethod
    def of(item: CommandProgress) -> ItemProgress:
        """An item with a channel that is none asks for nothing."""
        owner = item.commandId, item.attempt
        try:
            appends = [
                Append(*owner, piece.offset, piece.text, {}, _channel(piece))
                for piece in item.pieces
            ]
        except ValueError as error:
            return ItemProgress(item, error=str(error))
        return ItemProgress(item, [*appends, Append(*owner, item.offset, item.text, item.fields)])

    @property
    def is_whole(self) -> bool:
        """Whether the store has everything that the item says."""
        pairs = zip(self.appends, self.found, strict=True)
        return bool(self.appends) and all(_has_all(append, held) for append, held in pairs)

    def answer(self) -> dict[str, Any]:
        """What the host now holds: of each channel up to the first that has a gap."""
        reply = {"commandId": self.item.commandId, "accepted": True, "offset": 0}
        error = self.error or next((str(one) for one in self.found if not isinstance(one, int)), "")
        if error:
            return {**reply, "accepted": False, "error": error}
        reply["offset"] = self.found[-1]
        held: dict[str, Any] = {}
        for append, length in zip(self.appends[:-1], self.found, strict=False):
            held[append.channel] = length
            if not _has_all(append, length):
                break
        channels = [{**parts_of(channel), "offset": length} for channel, length in held.items()]
        return {**reply, "channels": channels} if channels else reply


def _channel(piece: Any) -> str:
    return channel_name(piece.channel, piece.index, piece.name)


def _has_all(append: Append, held: int | CommandError) -> bool:
    return isinstance(held, int) and held >= append.offset + len(append.text)
