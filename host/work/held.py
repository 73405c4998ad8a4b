"""The bytes that clients' bodies take: of those that are read, and of what has not ended yet.

Counted as they came, by this host, for what came to it. Invariants: all together are never more
than `MaxHeldMB`; one client has no more than it leaves free for others, or one body (host.store.
shares); whatever ends gives back what it took.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from types import TracebackType

from host.store.protocol import CommandStore, StoreUnavailable
from host.store.shares import is_within_share
from host.work.intake import ShareTaken

SMALL_BYTES = 16_384  # less is not counted once it is accepted: a queue's length bounds it
LOOK_EVERY_S = 0.5
_MB = 2**20


class Held:
    """`limit_bytes` for all together, of which `largest_bytes`, a body, are never too many."""

    def __init__(self, store: CommandStore, limit_bytes: int, largest_bytes: int) -> None:
        self._store = store
        self._limit_bytes = max(limit_bytes, largest_bytes)
        self._largest_bytes = largest_bytes
        self._by_client: Counter[str] = Counter()
        self._accepted: dict[str, tuple[str, int]] = {}  # command id -> client, bytes
        self._looked_s = 0.0
        self.total = 0
        """Bytes that are held now."""

    def upload(self, client: str) -> Upload:
        """Counts one body, for as long as it is used with `with`."""
        return Upload(self, client)

    async def settle(self) -> None:
        """Give back what has ended; it is looked for where much is held, and now and then."""
        now, next_total = time.monotonic(), self.total + self._largest_bytes
        if 2 * next_total < self._limit_bytes or now - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now
        ids = list(self._accepted)
        with suppress(StoreUnavailable):
            found = await asyncio.gather(*map(self._store.read, ids))
            for command_id, command in zip(ids, found, strict=True):
                if command is None or command.state.is_terminal:
                    self.give_back(*self._accepted.pop(command_id, ("", 0)))

    def take(self, client: str, size: int) -> None:
        """Count more bytes. Raises ShareTaken."""
        own, total = self._by_client[client] + size, self.total + size
        if not is_within_share(own, total, self._limit_bytes, self._largest_bytes):
            raise ShareTaken(
                f"this client's bodies would take {own / _MB:.1f} MB, and those of all clients "
                f"{total / _MB:.1f} of {self._limit_bytes / _MB:.6g} MB (MaxHeldMB under Server in "
                "the host's modulesettings.json), until their commands have ended; what is left is "
                "for other clients"
            )
        self._by_client[client], self.total = own, total

    def give_back(self, client: str, size: int) -> None:
        """Count fewer bytes."""
        self.total -= size
        self._by_client[client] -= size
        if not self._by_client[client]:
            del self._by_client[client]

    def keep(self, client: str, size: int, command_id: str) -> bool:
        """Count them on until that command has ended; False for what is not counted."""
        if size < SMALL_BYTES or command_id in self._accepted:
            return False
        self._accepted[command_id] = (client, size)
        return True


class Upload:
    """One body, on its way into a command."""

    def __init__(self, held: Held, client: str) -> None:
        self._held = held
        self.client = client
        self._size = 0

    def take(self, size: int) -> None:
        """More of it has come. Raises ShareTaken."""
        self._held.take(self.client, size)
        self._size += size

    def accepted(self, command_id: str) -> None:
        """It is the store's now, until the command has ended."""
        if self._held.keep(self.client, self._size, command_id):
            self._size = 0

    def __enter__(self) -> Upload:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._size:
            self._held.give_back(self.client, self._size)
