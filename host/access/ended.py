"""Sessions that were ended before their time: `access/ended` in the data directory.

Invariant: a cookie that somebody has copied is worth nothing once its session was ended, also after
a restart. Only sessions that the host made can be ended: the file is as long as people sign out.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from host.access.secret import access_folder

_log = logging.getLogger(__name__)


class EndedSessions:
    """Their ids, until their time is over."""

    def __init__(self, data_dir: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = access_folder(data_dir) / "ended"
        self._clock = clock
        self._ids: set[str] = set()

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._ids

    def load(self) -> None:
        """What was ended before."""
        try:
            lines = self._path.read_text(encoding="ascii").split("\n")
        except (OSError, ValueError):
            return
        found = (line.split() for line in lines)
        self._ids = {one[0] for one in found if len(one) == 2 and float(one[1]) > self._clock()}

    def end(self, session_id: str, ends_at: float) -> None:
        """End one."""
        self._ids.add(session_id)
        try:
            flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND
            with os.fdopen(os.open(self._path, flags, 0o600), "w") as file:
                file.write(f"{session_id} {ends_at:.0f}\n")
        except OSError as error:
            _log.warning("a session is ended as long as this host runs: %s", error)
