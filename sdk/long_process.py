"""What a module says and gets when a command takes long.

Invariant: `RunningCommand` may be used from any thread, and once its command has ended nothing that
a late thread does to it changes the text or the fields.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from sdk.wire import clean_text, encode_json

if TYPE_CHECKING:
    from sdk.request_data import RequestData

ResultFields: TypeAlias = Mapping[str, Any] | None
LongFunction: TypeAlias = Callable[
    ["RequestData", "RunningCommand"], ResultFields | Awaitable[ResultFields]
]


RESERVED_FIELDS = frozenset(
    (
        *("success", "error", "code", "stop_reason", "reply", "delta", "nextOffset"),
        *("command", "commandId", "commandStatus", "requestId", "moduleId", "moduleName"),
        *("state", "queuePosition", "estimatedStartMs", "createdAt", "startedAt", "finishedAt"),
        *("timestampUTC", "analysisRoundTripMs", "processedBy", "warnings"),
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
        self._lock = threading.Lock()
        self._parts: list[str] = []
        self._length = 0
        self._fields: dict[str, Any] = {}
        self._fields_version = 0
        self._cancelled = threading.Event()
        self._is_closed = False

    @property
    def command_id(self) -> str:
        return self._command_id

    @property
    def is_cancelled(self) -> bool:
        """Ask this between steps; when it is True, return soon."""
        return self._cancelled.is_set()

    def append(self, text: str) -> None:
        """Adds to the end of the reply."""
        if not isinstance(text, str):
            raise TypeError(f"append expects a str, got {type(text).__name__}")
        text = clean_text(text)
        with self._lock:
            if self._is_closed or not text:
                return
            is_first = not self._length
            self._parts.append(text)
            self._length += len(text)
        self._on_change()
        if is_first:
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
        with self._lock:
            if self._is_closed:
                return
            self._fields.update(fields)
            self._fields_version += 1
        self._on_change()

    # What follows is for the SDK, not for modules.

    @property
    def length(self) -> int:
        """Code points of the reply so far."""
        with self._lock:
            return self._length

    @property
    def text(self) -> str:
        with self._lock:
            if len(self._parts) > 1:
                self._parts = ["".join(self._parts)]
            return self._parts[0] if self._parts else ""

    def fields(self) -> tuple[dict[str, Any], int]:
        """A copy of the fields, and a number that grows with every change."""
        with self._lock:
            return dict(self._fields), self._fields_version

    def request_cancel(self) -> None:
        self._cancelled.set()

    def close(self) -> None:
        """The command has ended: from here on its thread is talking to nobody."""
        with self._lock:
            self._is_closed = True
