"""A module's log: to the host while it listens, to the console otherwise.

Invariant: logging never blocks, never raises into the module, and never grows without bound.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum, Flag
from typing import Any

from sdk.host.errors import HostRefused, HostUnavailable
from sdk.host.tasks import Wake
from sdk.host.wire import LogEntry

MAX_HELD_ENTRIES = 1024
console = logging.getLogger("sdk.module")


class LogVerbosity(Enum):
    Unknown = "unknown"
    Quiet = "quiet"
    Info = "info"
    Loud = "loud"


class LogMethod(Flag):
    """Where an entry goes. The host captures the console too, so `Server` replaces it."""

    Unknown = 0
    Info = 1
    Error = 2
    Server = 4
    File = 8
    All = 15


LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "information": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}


SendLog = Callable[[LogEntry], Awaitable[None]]


class ModuleLogger:
    """Takes entries from any thread; `run()` sends those for the host."""

    def __init__(self) -> None:
        self._held: deque[LogEntry] = deque(maxlen=MAX_HELD_ENTRIES)
        self._wake: Wake | None = None

    def log(self, method: LogMethod, data: Mapping[str, Any]) -> None:
        """Logs `data["message"]`, with process, label, loglevel, filename and exception_type."""
        entry = _entry(data)
        if LogMethod.Server not in method:
            _to_console(entry)
            return
        self._held.append(entry)
        if self._wake is not None:
            self._wake.ring()

    async def run(self, send: SendLog) -> None:
        """Sends entries until cancelled. What the host does not take goes to the console."""
        self._wake = Wake()
        while True:
            await self.flush(send)
            await self._wake.wait(timeout_s=5)

    async def flush(self, send: SendLog) -> None:
        while self._held:
            entry = self._held.popleft()
            try:
                await send(entry)
            except (HostUnavailable, HostRefused):
                _to_console(entry)
            except asyncio.CancelledError:
                self._held.appendleft(entry)
                raise

    def flush_to_console(self) -> None:
        """The last resort at the end of the process, and all there is in a self-test."""
        while self._held:
            _to_console(self._held.popleft())


def _entry(data: Mapping[str, Any]) -> LogEntry:
    words = [f"({data['filename']})"] if data.get("filename") else []
    words += [f"[{data['exception_type']}]"] if data.get("exception_type") else []
    lead = f"{' '.join(words)}: " if words else ""
    return LogEntry(
        lead + str(data.get("message") or ""),
        str(data.get("process") or ""),
        str(data.get("label") or ""),
        str(data.get("loglevel") or "information").lower(),
    )


def _to_console(entry: LogEntry) -> None:
    source = f"{entry.category}: " if entry.category else ""
    console.log(LEVELS.get(entry.log_level, logging.INFO), "%s%s", source, entry.entry)
