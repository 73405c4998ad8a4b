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
from host.store.protocol import StoreUnavailable

REMEMBERED_BYTES = 32 * 2**20
REMEMBERED_COUNT = 5000

# `view` in scripts/common.lua: what changes, and after that what never does
_CHANGING = (
    *("version", "state", "long", "attempt", "attempts", "worker", "wish", "started", "finished"),
    *("result", "queued", "failed", "logged", "fields", "text", "log"),
)

FORMAT = 2  # as in scripts/common.lua

# What never changes, in the JSON `fixed`: a Command's own names. One more is named here alone, but
# for what a script's rule needs; the last three are the scripts' to say.
_FIXED = (
    *("queue", "module_id", "name", "client", "owner", "idempotency_key", "request_digest"),
    *("max_wait_s", "max_run_s", "turn", "number", "created_at"),
)
# the same in a record of format 1, which has them apart, in this order
_APART = (
    *("queue", "module_id", "name", "client", "turn", "number", "idempotency_key", "max_wait_s"),
    *("max_run_s", "created_at"),
)
_NUMBERS = {
    "turn": float,
    "number": int,
    "created_at": float,
    "max_wait_s": float,
    "max_run_s": float,
}


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


def fixed_of(command: Command) -> bytes:
    """What never changes in a new command, but for what the script adds. No script reads it."""
    said = {name: getattr(command, name) for name in _FIXED[:-3]}
    said = {name: value for name, value in said.items() if value is not None}
    return json.dumps(said, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _made(command_id: str, view: list[Any]) -> Known:
    record_format, fixed = view[len(_CHANGING) :]
    if int(record_format) > FORMAT:
        raise StoreUnavailable(
            f"command {command_id} has format {int(record_format)}, and this host knows {FORMAT}: "
            "a later version has written it; update this host"
        )
    said = _said_apart(fixed) if isinstance(fixed, list) else json.loads(_text(fixed))
    command = Command(
        id=command_id, is_long=None, **{name: said[name] for name in _FIXED if name in said}
    )
    return _renewed(command, Known(command), view)


def _said_apart(fixed: list[bytes]) -> dict[str, Any]:
    """What a record of format 1 says; an empty field says nothing."""
    said = {name: _text(raw) for name, raw in zip(_APART, fixed, strict=True)}
    return {
        name: _NUMBERS.get(name, str)(text)
        for name, text in said.items()
        if text or name in ("client", "name")
    }


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


def _text(raw: bytes | None) -> str:
    return raw.decode("utf-8", "surrogatepass") if raw else ""


def _number(raw: bytes | None) -> float | None:
    return float(raw) if raw else None
