"""The store that several hosts share: Redis 7 or later, or Valkey (docs/redis.md)."""

from host.store.redis.connections import RedisConnections
from host.store.redis.store import RedisStore

__all__ = ["RedisConnections", "RedisStore"]
