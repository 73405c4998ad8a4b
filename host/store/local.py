"""The durable store of one host: rows (host/store/rows) under a data directory that it holds.

Invariant: what this store has confirmed is on disk; what it cannot write it refuses.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from host.store.data_dir import DataDirLock
from host.store.protocol import StoreUnavailable
from host.store.rows.store import RowStore
from host.store.takeover import take_over


class LocalStore(RowStore):
    """Commands that outlive the process; `bounds` as those of RowStore.

    `address` is told to another host that wants the same directory.
    """

    is_kept = True

    def __init__(self, data_dir: Path, *, address: str = "", **bounds: Any) -> None:
        self._lock = DataDirLock(data_dir, address)
        self._folder = data_dir / "commands"
        super().__init__(self._folder, **bounds)

    async def open(self) -> None:
        """Take hold of the directory, and go on where the last host ended.

        Raises StoreLocked, StoreUnavailable.
        """
        try:
            await asyncio.to_thread(self._lock.acquire)
            await asyncio.to_thread(take_over, self._folder)
            await super().open()
        except BaseException as error:
            self._lock.release()
            if isinstance(error, OSError):
                raise StoreUnavailable(f"cannot use the data directory: {error}") from error
            raise

    async def close(self) -> None:
        """Write what is to be kept, and let go of the directory."""
        try:
            await super().close()
        finally:
            self._lock.release()
