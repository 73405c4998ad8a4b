"""What the memory store asks of a place that keeps commands longer than the process lives.

Invariant: what a shelf has not confirmed has not happened; the memory store changes its own records
after the confirmation only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from host.commands import Command
from host.store.protocol import StoreUnavailable


class Shelf(Protocol):
    """Keeps records by their ids. Every operation may raise StoreUnavailable."""

    def save(self, command: Command) -> asyncio.Future[None]:
        """Keep the record as it is now; done when it is kept. Nobody changes it until then."""

    def note(self, command: Command) -> None:
        """The record has grown: keep it soon, as it will be then."""

    def note_tally(self, queue: str, tally: Mapping[str, Any]) -> None:
        """A queue's counts have changed: keep them soon."""

    async def load(self, command_id: str) -> Command | None:
        """An ended command that memory has let go of."""

    async def load_first(self, idempotency_key: str) -> Command | None:
        """The ended command that was started with this key, if memory has let go of it."""

    def erase(self, command: Command) -> asyncio.Future[None]:
        """Forget an ended command for good; done when it is gone."""


async def settled(change: asyncio.Future[None]) -> bool:
    """Wait until a change is kept or refused, whatever happens; True when cancelled meanwhile.

    A change that is under way cannot be called back: a cancellation waits for its end, so that
    memory and shelf never differ. The caller then raises CancelledError.
    """
    is_cancelled = False
    while not change.done():
        try:
            await asyncio.shield(change)
        except asyncio.CancelledError:
            is_cancelled = True
        except StoreUnavailable:
            break  # the caller asks the change itself
    return is_cancelled
