"""What a module says and gets when a command takes long.

Invariant: `RunningCommand` may be used from any thread, and once its command has ended nothing that
a late thread does to it changes the text or the fields.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from sdk.host.output import REPLY, Channel, Output
from sdk.host.wire import clean_text, encode_json
from sdk.work.request_data import RequestData

ResultFields: TypeAlias = Mapping[str, Any] | None
LongFunction: TypeAlias = Callable[
    [RequestData, "RunningCommand"], ResultFields | Awaitable[ResultFields]
]


RESERVED_FIELDS = frozenset(
    (
        *("success", "error", "code", "stop_reason", "reply", "delta", "nextOffset"),
        *("command", "commandId", "commandStatus", "requestId", "moduleId", "moduleName"),
        *("state", "queuePosition", "estimatedStartMs", "createdAt", "startedAt", "finishedAt"),
        *("timestampUTC", "analysisRoundTripMs", "processedBy", "warnings"),
        *("sequence", "nextSequence", "pieces", "reasoning", "toolCalls", "failedAttempts"),
    )
)
"""What a status says by these names is the host's to say while the command runs."""


@dataclass(frozen=True)
class LongProcess:
    """Returned from `process()`: run `fn(data, command)` in the background.

    `fn` runs in a thread of its own, or on the event loop if it is a coroutine function. It returns
    a dict of result fields or None; if it raises, the command fails with the error's text and keeps
    the reply so far.
    """

    fn: LongFunction

    def __post_init__(self) -> None:
        if not callable(self.fn):
            raise TypeError(f"LongProcess expects a function, got {type(self.fn).__name__}")


class RunningCommand:
    """A command's own state: its growing reply, its status fields, and whether to stop."""

    def __init__(
        self,
        command_id: str,
        on_change: Callable[[], None],
        on_first_text: Callable[[], None] = lambda: None,
    ) -> None:
        self._command_id = command_id
        self._on_change = on_change
        self._on_first_text = on_first_text
        self._cancelled = threading.Event()
        self.output = Output()
        """For the SDK, not for modules."""

    @property
    def command_id(self) -> str:
        return self._command_id

    @property
    def is_cancelled(self) -> bool:
        """Ask this between steps; when it is True, return soon."""
        return self._cancelled.is_set()

    @property
    def text(self) -> str:
        """The reply so far."""
        return self.output.text(REPLY)

    def append(
        self, text: str, channel: str = "reply", *, index: int | None = None, name: str = ""
    ) -> None:
        """Adds to the end of the reply, or of another channel: "reasoning", say.

        The arguments of a tool's call: `channel="tool_calls"`, its `index` from 0 and its `name`.
        """
        if not isinstance(text, str):
            raise TypeError(f"append expects a str, got {type(text).__name__}")
        place, text = _channel(channel, index, name), clean_text(text)
        before = self.output.add(place, text) if text else None
        if before is None:
            return
        self._on_change()
        if before == 0:
            self._on_first_text()

    def set(self, **fields: Any) -> None:
        """Shows fields in the command's status.

        TypeError or ValueError if one is not JSON, ValueError for a name that the status has.
        """
        if reserved := RESERVED_FIELDS & fields.keys():
            names = ", ".join(sorted(reserved))
            raise ValueError(
                f"set: expected field names of your own, got {names}: what the status says by that "
                "name is the host's; return it as the result, or take another name"
            )
        encode_json(fields)
        if self.output.set(fields):
            self._on_change()

    def request_cancel(self) -> None:
        """For the SDK, and for tests: the command is to stop."""
        self._cancelled.set()


_NAME = re.compile(r"[a-z][a-z_]{0,39}")


def _channel(name: str, index: int | None, label: str) -> Channel:
    if not _NAME.fullmatch(name):
        raise ValueError(f"append expects a channel of small letters, got {name!r:.80}")
    if index is None and (label or name == "tool_calls"):
        raise ValueError(f"append to {name} expects an index: the calls are counted from 0")
    if "\n" in label or len(label) > 100:
        raise ValueError(f"append expects a name of one line, got {label!r:.80}")
    return Channel(name, index, label)
