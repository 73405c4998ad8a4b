"""Big values travel in parts, on a connection of their own: nobody's poll waits behind an upload.

Invariant: a part is small enough to be sent and answered well within the time that an answer may
take, so a slow connection is slow and not dead; a part that is sent twice changes nothing.
"""

from __future__ import annotations

from host.store.redis.client import RedisClient

PART_BYTES = 2**18  # what is larger goes in parts; claim.lua is told
HERE = "+"  # instead of a value: it has been put already


class BigValues:
    """Values of a command, by kind ("payload", "files")."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    async def sent(self, kind: str, command_id: str, value: bytes) -> bytes | str:
        """The value itself, or HERE when it was big and is there now, for a while.

        Raises StoreUnavailable.
        """
        if len(value) <= PART_BYTES:
            return value
        for start in range(0, len(value), PART_BYTES):
            part = value[start : start + PART_BYTES]
            await self._client.call("put_part", kind, command_id, start, part)
        return HERE

    async def received(self, kind: str, command_id: str, value: bytes | int | None) -> bytes | None:
        """A value as claim.lua names it: itself, or its length; None when it has left meanwhile.

        Raises StoreUnavailable.
        """
        if not isinstance(value, int):
            return value or b""
        parts = []
        for start in range(0, value, PART_BYTES):
            end = min(start + PART_BYTES, value) - 1
            parts.append(await self._client.call("get_part", kind, command_id, start, end))
        found = b"".join(parts)
        return found if len(found) == value else None
