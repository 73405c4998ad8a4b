"""The log in files: one for each module, and one for the host with everything in it.

Invariant: they are for their user's eyes only, and bounded: each at most `FILES` times `MAX_BYTES`.
A file that cannot be written is said once and costs the host nothing else.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import cast

from host.log.plain import PlainFormatter
from host.log.ring import LogEntry
from host.settings.places import make_private_dir

MAX_BYTES = 2 * 2**20
FILES = 5
HOST_FILE = "host.log"


class LogFiles:
    """Files in `folder` (`LlamaChat.log` and so on). Raises OSError where it cannot be made.

    A module's file has what is about that module: its output, its own log, its supervision.
    """

    def __init__(self, folder: Path, module_ids: Iterable[str]) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        make_private_dir(folder)
        self.host = _File(folder / HOST_FILE)
        """For Python's root logger: everything that the console shows."""
        self.host.setFormatter(PlainFormatter("%(asctime)s %(levelname)-7s %(message)s"))
        self._modules = {one.lower(): _File(folder / _file_name(one)) for one in module_ids}

    def write(self, entry: LogEntry) -> None:
        """Put down an entry, where it is about a module; for `LogRing.sinks`."""
        file = self._modules.get(entry.category.lower())
        if file is not None:
            label = f" {entry.label}:" if entry.label else ""
            line = f"{entry.timestamp} {entry.level.upper():<11}{label} {entry.entry}"
            file.handle(logging.makeLogRecord({"msg": line}))

    def close(self) -> None:
        """Nothing is written any more."""
        for file in (self.host, *self._modules.values()):
            file.close()


class _File(RotatingFileHandler):
    """A rotating file that only its user can read."""

    def __init__(self, path: Path) -> None:
        self._has_complained = False
        super().__init__(
            path, maxBytes=MAX_BYTES, backupCount=FILES - 1, encoding="utf-8", delay=True
        )

    def _open(self) -> TextIOWrapper:
        def private(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        file = open(self.baseFilename, self.mode, encoding="utf-8", opener=private)
        return cast("TextIOWrapper", file)

    def handleError(self, record: logging.LogRecord) -> None:
        """Not to the log: that would come back here."""
        if not self._has_complained and logging.lastResort is not None:
            self._has_complained = True
            logging.lastResort.handle(_complaint(self.baseFilename))


def _complaint(path: str) -> logging.LogRecord:
    text = f"the log file {path} cannot be written; the log goes on without it"
    return logging.makeLogRecord({"msg": text, "levelno": logging.WARNING})


def _file_name(module_id: str) -> str:
    """A module's id as the name of a file, and not that of the host's."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", module_id).lstrip(".") or "module"
    return f"{name}.log" if f"{name.lower()}.log" != HOST_FILE else "module_host.log"
