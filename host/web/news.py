"""What event readers of a command are sent, built once for all who are at the same place.

Invariant: what is built here is sent as long as nothing of the command has changed, and no longer:
a store gives the same record, the very object, to everybody who reads it unchanged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from host.channels import REPLY
from host.commands import Command
from host.instances.load import Place
from host.json_pieces import json_bytes
from host.web.replies import Seen, status_body
from host.work.follow import News

DONE = "-done"
"""What the id of the last event ends in."""

_WHOLE = ("reply", "reasoning", "toolCalls")


class Newsroom:
    """The events of the commands that have readers now."""

    def __init__(self) -> None:
        self._readers: Counter[str] = Counter()
        self._built: dict[str, tuple[Command, Place, dict[int, bytes]]] = {}

    @contextmanager
    def reader(self, command_id: str) -> Iterator[None]:
        """Somebody follows the command; with the last of them its events leave."""
        self._readers[command_id] += 1
        try:
            yield
        finally:
            self._readers[command_id] -= 1
            if not self._readers[command_id]:
                del self._readers[command_id]
                self._built.pop(command_id, None)

    def event(self, news: News) -> bytes:
        """The news as the stream has them."""
        command = news.command
        built = self._built.get(command.id)
        if built is None or built[0] is not command or built[1] != news.place:
            built = self._built[command.id] = (command, news.place, {})
        event = built[2].get(news.since)
        if event is None:
            event = built[2][news.since] = _event(news)
        return event


def _event(news: News) -> bytes:
    """What is new in the reply as `delta`; `pieces` where there is anything else. With the end come
    all texts."""
    kind, event_id = "delta" if news.pieces else "status", str(news.sequence)
    status = status_body(news, Seen(sequence=news.since))
    status["delta"] = "".join(one.text for one in news.pieces if one.channel == REPLY)
    status["nextOffset"] = news.command.output.offset_at(news.sequence)
    if all(one.channel == REPLY for one in news.pieces):
        del status["pieces"]
    if news.command.state.is_terminal:
        kind, event_id = "done", f"{event_id}{DONE}"
        whole = status_body(news)
        status |= {key: whole[key] for key in _WHOLE if key in whole}
    head = f"id: {event_id}\nevent: {kind}\ndata: ".encode()
    return head + json_bytes(status) + b"\n\n"
