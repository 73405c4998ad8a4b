"""A command as the scripts show it (`view` in scripts/common.lua), and what a host remembers of it.

Invariant: what is remembered is used only as the scripts allow: the part that never changes, the
text up to the bytes that were seen (text only grows), and the whole of a version that still stands.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from host.channels import REPLY, Output
from host.commands import Command, State
from host.wire import Payload

REMEMBERED_BYTES = 32 * 2**20
REMEMBERED_COUNT = 5000

# `view` in scripts/common.lua: what changes, and after that what never does
_CHANGING = (
    *("version", "state", "long", "attempt", "attempts", "worker", "wish", "started", "finished"),
    *("result", "queued", "failed", "logged", "fields", "text", "log"),
)
_FIXED = (
    *("queue", "module", "name", "client", "turn", "number", "key", "max_wait", "max_run"),
    "created",
)


@dataclass(frozen=True)
class Known:
    """What a host remembers of a command, or that it remembers nothing."""

    command: Command | None = None
    text_bytes: int = 0
    entries: int = 0  # of the log

    @property
    def version(self) -> str:
        """What to tell a script that is to show the command."""
        return "" if self.command is None else str(self.command.version)

    @property
    def place(self) -> str:
        """How much of its output is known."""
        return f"{self.text_bytes},{self.entries}"

    @property
    def size(self) -> int:
        return 2000 + 2 * self.text_bytes


NOTHING = Known()


class Records:
    """Reads views; remembers the commands that were read last, up to a limit in bytes."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._size = 0

    def known(self, command_id: str) -> Known:
        """What is remembered: its `version` and `place` go to the script, it to `read`."""
        return self._known.get(command_id, NOTHING)

    def forget(self, command_id: str) -> None:
        """It is there no more."""
        known = self._known.pop(command_id, None)
        if known is not None:
            self._size -= known.size

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()
        self._size = 0

    def read(
        self, command_id: str, view: list[Any] | None, known: Known = NOTHING
    ) -> Command | None:
        """The command that a view shows to one who said that he knows `known`; None for none."""
        if not view:
            self.forget(command_id)
            return None
        if len(view) == 1:
            return known.command
        if known.command is None:
            found = _made(command_id, view)
        else:
            found = _renewed(known.command, known, view)
        self._remember(command_id, found)
        return found.command

    def _remember(self, command_id: str, found: Known) -> None:
        before = self._known.get(command_id, NOTHING)
        if before.command and found.command and before.command.version > found.command.version:
            return  # an older answer that came later
        self.forget(command_id)
        self._known[command_id] = found
        self._size += found.size
        while self._size > REMEMBERED_BYTES or len(self._known) > REMEMBERED_COUNT:
            self.forget(next(iter(self._known)))


def _made(command_id: str, view: list[Any]) -> Known:
    fixed = dict(zip(_FIXED, view[len(_CHANGING) :], strict=True))
    command = Command(
        id=command_id,
        queue=_text(fixed["queue"]),
        module_id=_text(fixed["module"]),
        name=_text(fixed["name"]),
        client=_text(fixed["client"]),
        turn=float(fixed["turn"]),
        number=int(fixed["number"]),
        idempotency_key=_text(fixed["key"]) or None,
        max_wait_s=_number(fixed["max_wait"]),
        max_run_s=_number(fixed["max_run"]),
        created_at=float(fixed["created"]),
        is_long=None,
    )
    return _renewed(command, Known(command), view)


def _renewed(before: Command, known: Known, view: list[Any]) -> Known:
    """The command as it is now, from what was known of it and what changes."""
    found = dict(zip(_CHANGING, view, strict=False))
    news = found["text"]
    command = replace(
        before,
        version=int(found["version"]),
        state=State(found["state"].decode()),
        is_long={b"1": True, b"0": False}.get(found["long"]),
        attempt=_text(found["attempt"]) or None,
        attempts=int(found["attempts"]),
        failed_attempts=json.loads(b"[%s]" % (found["failed"] or b"")),
        worker=_text(found["worker"]) or None,
        stop_wish=_text(found["wish"]),
        queued_at=_number(found["queued"]) or before.created_at,
        started_at=_number(found["started"]),
        finished_at=_number(found["finished"]),
        result=json.loads(found["result"]) if found["result"] else {},
        fields=json.loads(found["fields"]),
        output=_grown(before.output, _text(news), found["log"], known.entries),
    )
    return Known(command, known.text_bytes + len(news), known.entries + len(found["log"]))


def _grown(output: Output, reply: str, log: list[bytes], entries: int) -> Output:
    """With what is new: a log tells the order; its first entry may count what is known already."""
    if not log:
        return output.grown(REPLY, reply) if reply else output
    known = len(output.reply) if not entries else 0
    for entry in log:
        if entry.startswith(b":"):
            count, known = int(entry[1:]) - known, 0
            output = output.grown(REPLY, reply[:count]) if count else output
            reply = reply[count:]
        else:
            channel, _, text = _text(entry).partition("\n")
            output, known = output.grown(channel, text), 0
    return output


def payload_of(asked: bytes | None, files: bytes | None) -> Payload:
    """What a command was asked, as a claim shows it."""
    payload: Payload = json.loads(asked or b'{"values": []}')
    payload["files"] = json.loads(files) if files else []
    return payload


def _text(raw: bytes | None) -> str:
    return raw.decode("utf-8", "surrogatepass") if raw else ""


def _number(raw: bytes | None) -> float | None:
    return float(raw) if raw else None
