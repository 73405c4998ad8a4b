"""The log is written by a thread of its own: a slow disk or console keeps nobody waiting.

Invariant: memory is bounded. What comes faster than it can be written is left out, counted, said.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable
from logging.handlers import QueueHandler, QueueListener
from typing import Any

from host.log.ring import LogEntry

MAX_WAITING = 5_000
STOP_S = 5.0  # for what waits at the end; a disk that hangs does not keep the host from ending


_log = logging.getLogger(__name__)


class LogWriter:
    """Takes over Python's root logger from `start` to `stop`. `handlers` join those that it has;
    `write` gets the entries that are handed to `take`."""

    def __init__(
        self, *handlers: logging.Handler, write: Callable[[LogEntry], None] = lambda entry: None
    ) -> None:
        self._inbox: queue.Queue[Any] = queue.Queue(MAX_WAITING)
        self._entrance = _Entrance(self._inbox)
        self._handlers = handlers
        self._write = write
        self._before: list[logging.Handler] = []
        self._listener: _Listener | None = None

    def start(self) -> None:
        root = logging.getLogger()
        self._before, root.handlers = root.handlers, [self._entrance]
        self._listener = _Listener(self._inbox, self._write, *self._before, *self._handlers)
        self._listener.start()

    def take(self, entry: LogEntry) -> None:
        """For `LogRing.sinks`: to be written soon."""
        self._entrance.put(entry)

    def stop(self) -> None:
        """Write what waits, then leave the logger as it was."""
        logging.getLogger().handlers = self._before
        if self._listener is not None:
            self._listener.stop()
            self._listener = None


class _Entrance(QueueHandler):
    """Puts down what is logged, and never waits."""

    def __init__(self, inbox: queue.Queue[Any]) -> None:
        super().__init__(inbox)
        self._inbox = inbox
        self._left_out = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        self.put(record)

    def put(self, item: logging.LogRecord | LogEntry) -> None:
        try:
            if self._left_out:
                self._inbox.put_nowait(_complaint(self._left_out))
                self._left_out = 0
            self._inbox.put_nowait(item)
        except queue.Full:
            self._left_out += 1


class _Listener(QueueListener):
    """Writes, in its thread."""

    def __init__(
        self,
        inbox: queue.Queue[Any],
        write: Callable[[LogEntry], None],
        *handlers: logging.Handler,
    ) -> None:
        super().__init__(inbox, *handlers)
        self._inbox = inbox
        self._write = write

    def handle(self, record: logging.LogRecord | LogEntry) -> None:
        if isinstance(record, LogEntry):
            self._write(record)
        else:
            super().handle(record)

    def enqueue_sentinel(self) -> None:
        try:
            self._inbox.put(None, timeout=STOP_S)  # what tells the thread to end
        except queue.Full:
            _log.debug("whatever the log is written to hangs")

    def stop(self) -> None:
        self.enqueue_sentinel()
        thread = self._thread
        if thread is not None:
            thread.join(STOP_S)


def _complaint(count: int) -> logging.LogRecord:
    text = f"{count} log lines were left out: they came faster than they could be written"
    return logging.makeLogRecord({"msg": text, "levelno": logging.WARNING, "levelname": "WARNING"})
