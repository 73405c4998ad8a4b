"""The durable store of one host: rows (host/store/rows) under a data directory that it holds.

Invariant: what this store has confirmed is on disk; what it cannot write it refuses.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from host.store.data_dir import DataDirLock
from host.store.protocol import StoreUnavailable
from host.store.rows.database import Durability
from host.store.rows.store import FIRST_LEASE_S, RowStore


class LocalStore(RowStore):
    """Commands that outlive the process.

    `durability` says what a confirmed command survives: the "process", or loss of "power" too.
    `address` is told to another host that wants the same directory.
    """

    is_kept = True

    def __init__(
        self,
        data_dir: Path,
        *,
        address: str = "",
        keep_s: float = 24 * 3600,
        max_bytes: float = 2**30,
        durability: Durability = "process",
        max_queue_length: int = 10_000,
        first_lease_s: float = FIRST_LEASE_S,
    ) -> None:
        self._lock = DataDirLock(data_dir, address)
        super().__init__(
            data_dir / "commands",
            keep_s=keep_s,
            max_bytes=max_bytes,
            durability=durability,
            max_queue_length=max_queue_length,
            first_lease_s=first_lease_s,
        )

    async def open(self) -> None:
        """Take hold of the directory, and go on where the last host ended.

        Raises StoreLocked, StoreUnavailable.
        """
        try:
            await asyncio.to_thread(self._lock.acquire)
        except OSError as error:
            raise StoreUnavailable(f"cannot use the data directory: {error}") from error
        try:
            await super().open()
        except BaseException:
            self._lock.release()
            raise

    async def close(self) -> None:
        """Write what is to be kept, and let go of the directory."""
        try:
            await super().close()
        finally:
            self._lock.release()
