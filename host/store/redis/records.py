"""A command as the scripts show it (`view` in scripts/common.lua), and what a host remembers of it.

Invariant: what is remembered is used only as the scripts allow: the part that never changes, the
text up to the bytes that were seen (text only grows), and the whole of a version that still stands.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any

from host.commands import Command, State

REMEMBERED_BYTES = 32 * 2**20
REMEMBERED_COUNT = 5000

_FIXED = 12  # where in a view the part begins that never changes


@dataclass(frozen=True)
class Known:
    """What a host remembers of a command, or that it remembers nothing."""

    command: Command | None = None
    text_bytes: int = 0
    payload_bytes: int = 0

    @property
    def version(self) -> str:
        """What to tell a script that is to show the command."""
        return "" if self.command is None else str(self.command.version)

    @property
    def size(self) -> int:
        return 2000 + 2 * self.text_bytes + 2 * self.payload_bytes


NOTHING = Known()


class Records:
    """Reads views; remembers the commands that were read last, up to a limit in bytes."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._size = 0

    def known(self, command_id: str) -> Known:
        """What is remembered: its `version` and `text_bytes` go to the script, it to `read`."""
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
    fixed = view[_FIXED:]
    payload = json.loads(fixed[10])
    payload["files"] = json.loads(fixed[11]) if fixed[11] else []
    command = Command(
        id=command_id,
        queue=_text(fixed[0]),
        module_id=_text(fixed[1]),
        name=_text(fixed[2]),
        client=_text(fixed[3]),
        turn=float(fixed[4]),
        number=int(fixed[5]),
        idempotency_key=_text(fixed[6]) or None,
        max_wait_s=_number(fixed[7]),
        max_run_s=_number(fixed[8]),
        created_at=float(fixed[9]),
        payload=payload,
        is_long=None,
    )
    size = len(fixed[10]) + len(fixed[11] or b"")
    return _renewed(command, Known(command, 0, size), view)


def _renewed(before: Command, known: Known, view: list[Any]) -> Known:
    """The command as it is now, from what was known of it and what changes."""
    news = view[11]
    state = State(view[1].decode())
    payload = before.payload
    if state.is_terminal and payload["files"]:
        payload = {**payload, "files": []}  # images are large, and nobody reads them any more
    command = replace(
        before,
        version=int(view[0]),
        state=state,
        is_long={b"1": True, b"0": False}.get(view[2]),
        attempt=_text(view[3]) or None,
        attempts=int(view[4]),
        worker=_text(view[5]) or None,
        stop_wish=_text(view[6]),
        started_at=_number(view[7]),
        finished_at=_number(view[8]),
        result=json.loads(view[9]) if view[9] else {},
        fields=json.loads(view[10]),
        text=before.text + _text(news) if news else before.text,
        payload=payload,
    )
    return Known(command, known.text_bytes + len(news), known.payload_bytes)


def _text(raw: bytes | None) -> str:
    return raw.decode("utf-8", "surrogatepass") if raw else ""


def _number(raw: bytes | None) -> float | None:
    return float(raw) if raw else None
