"""What the host speaks; one that was away may come back as another one.

Invariant: it is asked before anything else is, while calls fail, and once more when they work
again: what answered in between may have been something else, a proxy without its host for instance.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from sdk.host.client import HostClient
from sdk.host.errors import HostUnavailable
from sdk.host.tasks import Backoff

logger = logging.getLogger(__name__)

LOOK_AGAIN_S = 5.0
"""While a host is away, or answers nonsense, how often to ask it again."""


class ProtocolWatch:
    """`on_settled` is called when `client.protocol` is known, and again whenever it has changed."""

    def __init__(self, client: HostClient, on_settled: Callable[[], Awaitable[None]]) -> None:
        self._client = client
        self._on_settled = on_settled

    async def run(self) -> None:
        await self._ask()
        await self._settle()
        while True:
            await self._client.reachability.lost()
            await self._keep_in_step()

    async def _keep_in_step(self) -> None:
        is_back = False
        while not is_back:
            is_back = await self._client.reachability.restored(LOOK_AGAIN_S)
            protocol = self._client.protocol
            await self._ask()
            if self._client.protocol != protocol:
                await self._settle()

    async def _ask(self) -> None:
        backoff = Backoff()
        while True:
            try:
                return await self._client.handshake()
            except HostUnavailable as error:
                logger.debug("no host yet: %s", error)
                await backoff.pause()

    async def _settle(self) -> None:
        logger.info("the host speaks protocol %s", self._client.protocol)
        await self._on_settled()
