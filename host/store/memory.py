"""The store that ends with its process: the rows of the local store, in memory."""

from __future__ import annotations

from typing import Any

from host.store.rows.store import RowStore

MAX_BYTES = 2**28


class MemoryStore(RowStore):
    """Commands that outlive nothing; of the ended ones the newest are kept."""

    def __init__(self, *, max_bytes: float = MAX_BYTES, **bounds: Any) -> None:
        super().__init__(None, max_bytes=max_bytes, **bounds)
