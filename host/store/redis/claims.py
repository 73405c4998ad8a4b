"""Claims on Redis: tried when told to, and never lost.

Invariants: a claim whose answer got lost is asked for again under its attempt, by the next claim of
that worker; one that nobody waits for any more goes back to its queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from host.asked import StoredPayload
from host.commands import Command
from host.store.protocol import StoreUnavailable
from host.store.redis.big_values import PART_BYTES, BigValues
from host.store.redis.connections import RedisConnections
from host.store.redis.records import Records
from host.store.redis.subscriber import Listener
from host.store.redis.waiting import Waiting


@dataclass
class Wanted:
    """What a claim asks for, and whether its last try left something to the others."""

    queue: str
    worker: str
    is_long_allowed: bool
    has_more: bool = False

    @property
    def line(self) -> str:
        """Each kind of those who wait stands in a line of its own: what one may not take, the
        other is there for."""
        return "any" if self.is_long_allowed else "short"


class RedisClaims:
    """The claims of one host's store. `give_back` puts a claimed command back into its queue."""

    def __init__(
        self,
        connections: RedisConnections,
        records: Records,
        first_lease_s: float,
        give_back: Callable[[Command], Awaitable[Any]],
    ) -> None:
        self._connections = connections
        self._records = records
        self._big_values = BigValues(connections.big_values)
        self._first_lease_s = first_lease_s
        self._give_back = give_back
        self._unanswered: dict[tuple[str, str], str] = {}  # (queue, worker): attempt
        self.is_closed = False

    async def claim(self, wanted: Wanted, wait_s: float) -> Command | None:
        """The next command, with what it was asked. Raises StoreUnavailable."""
        if wait_s <= 0:
            return None if self.is_closed else await self._try(wanted)
        channel = self._connections.channel("queue", wanted.queue)
        async with self._connections.subscriber.listening(channel, wanted.line) as listener:
            return await self._when_told(wanted, listener, wait_s)

    async def _when_told(self, wanted: Wanted, listener: Listener, wait_s: float) -> Command | None:
        """Try whenever it rings. Who leaves, and knows of more that waits, passes it on."""
        waiting = Waiting(listener, wait_s)
        knows_all = False
        try:
            while not self.is_closed:
                knows_all = False
                try:
                    command = await self._try(wanted)
                    knows_all = not wanted.has_more
                    if command is not None:
                        return command
                except StoreUnavailable:
                    if not await waiting.has_paused():
                        raise
                else:
                    if not await waiting.has_rung():
                        return None
            return None
        finally:
            if not knows_all:
                listener.ring()

    async def _try(self, wanted: Wanted) -> Command | None:
        """One try. When it is cancelled, what it has claimed goes back before it ends."""
        asking = asyncio.create_task(self.ask(wanted))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            await asyncio.wait((asking,))
            with contextlib.suppress(StoreUnavailable):  # its lease will run out
                command = asking.result()
                if command is not None:
                    await self._give_back(command)
            raise

    async def ask(self, wanted: Wanted) -> Command | None:
        """Ask once."""
        place = (wanted.queue, wanted.worker)
        attempt = self._unanswered.pop(place, None)
        is_retry = attempt is not None
        attempt = attempt or secrets.token_hex(8)
        try:
            view = await self._connections.client.call(
                "claim",
                *place,
                attempt,
                "1" if wanted.is_long_allowed else "0",
                self._first_lease_s,
                PART_BYTES,
                is_retry=is_retry,
            )
            wanted.has_more = bool(view and view[1])
            return await self._handed_out(view) if view else None
        except StoreUnavailable:
            self._unanswered[place] = attempt
            raise

    async def _handed_out(self, view: list[Any]) -> Command | None:
        """The claimed command with what it was asked; None when it has ended meanwhile."""
        command = self._records.read(view[0].decode(), view[4:])
        if command is None:
            return None
        asked = await self._big_values.received("payload", command.id, view[2])
        files = await self._big_values.received("files", command.id, view[3])
        if asked is None or files is None:
            return None
        payload = StoredPayload(asked or [b'{"values":[]}'], files or [b"[]"])
        return replace(command, payload=payload)
