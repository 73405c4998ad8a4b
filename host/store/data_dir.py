"""The hold on a data directory.

Invariant: one host per directory; the system lets go of the lock when the process ends, however it
ends.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from host.settings.places import make_private_dir
from host.store.holder import read_holder, remove_holder, write_holder
from host.store.protocol import StoreLocked

LOCK_NAME = "host.lock"


class DataDirLock:
    """The hold on a data directory; `address` is what others are told about its holder."""

    def __init__(self, data_dir: Path, address: str) -> None:
        self._data_dir = data_dir
        self._address = address
        self._lock = FileLock(data_dir / LOCK_NAME, mode=0o600, timeout=0, thread_local=False)

    def acquire(self) -> None:
        """Take hold, and write down who does. Raises StoreLocked, OSError."""
        make_private_dir(self._data_dir, is_own=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise StoreLocked(
                f"{self._data_dir} is held by another host "
                f"({read_holder(self._data_dir) or 'it does not say which'}): stop that one, or "
                "give this one a directory of its own with --data-dir"
            ) from None
        with suppress(OSError):  # a full disk: the hold is the lock, this is a courtesy
            write_holder(self._data_dir, self._address)

    def release(self) -> None:
        """Let go; what is not held changes nothing."""
        if self._lock.is_locked:
            remove_holder(self._data_dir)
            self._lock.release()
