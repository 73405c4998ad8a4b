"""What is known of the way to the host: whether it works, since when not, and why.

Invariant: a way that fails is said once, in plain words, and again once a minute at most; so is its
return. Nothing here makes a call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from sdk.host.errors import HostDenied

logger = logging.getLogger(__name__)

SAY_AGAIN_S = 60.0
HOW_TO_GET_IN = "give it a key of the host with the role module, with --token or in CPAI_API_TOKEN"


class Reachability:
    """Told of the outcome of every call. Lives on the event loop. `clock` counts seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lost = asyncio.Event()
        self._restored = asyncio.Event()
        self._since_s = clock()
        self._said: dict[str, float] = {}
        self._has_said_loss = False

    @property
    def is_lost(self) -> bool:
        return self._lost.is_set()

    @property
    def away_s(self) -> float:
        """Seconds since the last call that worked, 0 while they do."""
        return self._clock() - self._since_s if self.is_lost else 0.0

    def works(self, url: str) -> None:
        self._since_s = self._clock()
        if not self.is_lost:
            return
        self._lost.clear()
        self._restored.set()
        if self._has_said_loss:
            self._has_said_loss = False
            logger.info("the host at %s answers again", url)

    def fails(self, url: str, error: Exception) -> None:
        self._restored.clear()
        self._lost.set()
        words = in_plain_words(url, error)
        now_s = self._clock()
        if now_s - self._said.get(words, -SAY_AGAIN_S) >= SAY_AGAIN_S:
            self._said = {words: now_s}
            self._has_said_loss = True
            logger.warning("%s", words)

    async def lost(self) -> None:
        """Returns when calls fail."""
        await self._lost.wait()

    async def restored(self, timeout_s: float) -> bool:
        """True when calls work again, False after `timeout_s`."""
        waiting = asyncio.ensure_future(self._restored.wait())
        try:
            await asyncio.wait({waiting}, timeout=timeout_s)
            return waiting.done()
        finally:
            waiting.cancel()


def in_plain_words(url: str, error: Exception) -> str:
    """What to tell a person who runs this module."""
    if isinstance(error, HostDenied):
        advice = f"; {HOW_TO_GET_IN}" if error.status == 401 else ""
        return f"the host at {url} does not let this module in: {error}{advice}. Trying again"
    return f"no host for this module at {url}: {error}. Trying again until there is one"
