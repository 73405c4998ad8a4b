"""The store that ends with its process: the rows of the local store, in memory."""

from __future__ import annotations

from host.store.rows.store import FIRST_LEASE_S, RowStore


class MemoryStore(RowStore):
    """Commands that outlive nothing; of the ended ones the newest are kept, in `max_bytes`."""

    def __init__(
        self,
        *,
        keep_s: float = 24 * 3600,
        max_bytes: float = 2**28,
        max_queue_length: int = 10_000,
        first_lease_s: float = FIRST_LEASE_S,
    ) -> None:
        super().__init__(
            None,
            keep_s=keep_s,
            max_bytes=max_bytes,
            max_queue_length=max_queue_length,
            first_lease_s=first_lease_s,
        )
