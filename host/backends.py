"""Which store and which switchboard a host works with, by its settings."""

from __future__ import annotations

import os
from collections.abc import Mapping

from host.settings import ServerSettings
from host.settings.places import data_dir
from host.store.local import LocalStore
from host.store.memory import MemoryStore
from host.store.protocol import CommandStore
from host.switchboard.memory import MemorySwitchboard
from host.switchboard.protocol import Switchboard

Backend = tuple[CommandStore, Switchboard]


def open_backend(server: ServerSettings, env: Mapping[str, str] = os.environ) -> Backend:
    """The store that `Server.Store` names, and what belongs to it. Neither is opened yet."""
    if server.store == "memory":
        return MemoryStore(keep_s=server.keep_hours * 3600), MemorySwitchboard()
    if server.store == "local":
        return _local_store(server, env), MemorySwitchboard()
    return _redis_backend(server)


def _local_store(server: ServerSettings, env: Mapping[str, str]) -> LocalStore:
    return LocalStore(
        data_dir(server, env),
        address=server.url if server.port else "",  # port 0 is chosen later
        keep_s=server.keep_hours * 3600,
        max_bytes=int(server.store_max_mb * 2**20),
        durability=server.durability,
    )


def _redis_backend(server: ServerSettings) -> Backend:
    # redis-py is slow to load, and seldom needed
    from host.store.redis import RedisConnections, RedisStore
    from host.switchboard.redis import RedisSwitchboard

    connections = RedisConnections(server.store, must_be_there=False)
    # its memory may hold more than ours: only who says so bounds the whole of it
    is_bounded = "store_max_mb" in server.model_fields_set
    store = RedisStore(
        connections,
        keep_s=server.keep_hours * 3600,
        max_bytes=server.store_max_mb * 2**20 if is_bounded else None,
    )
    return store, RedisSwitchboard(connections)
