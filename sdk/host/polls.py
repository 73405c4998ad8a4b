"""Polls the host for as long as it takes: what every loop that waits for the host does.

Invariant: a host that is away or says no is asked again after a growing pause, and never raises
into the loop.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from sdk.host.errors import HostRefused, HostUnavailable
from sdk.host.tasks import Backoff

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Poll(Generic[T]):
    """`poll` is one of the client's long polls."""

    def __init__(self, poll: Callable[[], Awaitable[T | None]]) -> None:
        self._poll = poll
        self._backoff = Backoff()

    async def once(self) -> T | None:
        """What came; None for nothing, and for a host that is away."""
        try:
            found = await self._poll()
        except (HostUnavailable, HostRefused) as error:
            logger.debug("nothing from the host: %s", error)
            await self._backoff.pause()
            return None
        self._backoff.reset()
        return found
