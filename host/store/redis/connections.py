"""What the store and the switchboard of one host share: links for calls, and a subscriber."""

from __future__ import annotations

from host.store.redis.client import PATIENCE_S, RedisClient
from host.store.redis.subscriber import Subscriber


class RedisConnections:
    """Three connections to Redis, open from the first `open` until as many `close`: for calls, for
    what is big, and for wake-ups.

    `url` is redis://, rediss:// (TLS) or unix://, with user and password where they are asked for.
    `namespace` begins every key: hosts of one namespace share everything. A Redis that need not be
    there yet when they are opened is waited for.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "llamachat",
        patience_s: float = PATIENCE_S,
        must_be_there: bool = True,
    ) -> None:
        self._must_be_there = must_be_there
        self.client = RedisClient(url, namespace=namespace, patience_s=patience_s)
        self.big_values = RedisClient(
            url, namespace=namespace, patience_s=patience_s, is_talkative=False
        )
        self.subscriber = Subscriber(self.client)
        self._users = 0

    async def open(self) -> None:
        """Connect. Raises StoreUnavailable."""
        if self._users == 0:
            try:
                await self.client.open(must_be_there=self._must_be_there)
                await self.big_values.open(must_be_there=self._must_be_there)
            except BaseException:
                await self.client.close()
                raise
            await self.subscriber.open()
        self._users += 1

    async def close(self) -> None:
        """Hang up, when nobody else uses them."""
        self._users -= 1
        if self._users == 0:
            await self.subscriber.close()
            await self.big_values.close()
            await self.client.close()

    def channel(self, kind: str, name: str) -> str:
        """Where the scripts publish what changes."""
        return f"{self.client.prefix}{kind}:{name}"
