"""The durable store of one host: the memory store's rules, and a journal under a data directory.

Invariant: what this store has confirmed is on disk; what it cannot write it refuses.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from host.store.data_dir import DataDirLock
from host.store.disk import CommandDisk, Durability
from host.store.journal import Journal
from host.store.memory import FIRST_LEASE_S, MemoryStore
from host.store.protocol import StoreUnavailable

_ENDED_IN_MEMORY = 256  # the newest; older ones are read from disk


class LocalStore(MemoryStore):
    """Commands that outlive the process; ended ones are kept `keep_s` seconds, in `max_bytes`.

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
        max_bytes: int = 2**30,
        durability: Durability = "process",
        max_queue_length: int = 10_000,
        first_lease_s: float = FIRST_LEASE_S,
    ) -> None:
        folder = data_dir / "commands"
        disk = CommandDisk(folder, durability=durability, keep_s=keep_s, max_bytes=max_bytes)
        self._journal = Journal(disk)
        self._lock = DataDirLock(data_dir, address)
        super().__init__(
            shelf=self._journal,
            max_queue_length=max_queue_length,
            keep_finished=_ENDED_IN_MEMORY,
            keep_s=keep_s,
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
            kept = await self._journal.open(self._commands)
        except BaseException:
            self._lock.release()
            raise
        for command in kept.live:
            self._last_number = max(self._last_number, command.number)
            self._put(command)
        for queue in self._queues.values():
            queue.resume()
        for name, tally in kept.tallies.items():
            self._tallies[name].restore(tally)

    async def close(self) -> None:
        """Write what is to be kept, and let go of the directory."""
        await super().close()
        try:
            await self._journal.close()
        finally:
            self._lock.release()
