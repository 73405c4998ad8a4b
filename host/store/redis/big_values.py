"""Big values travel in parts, on a connection of their own: nobody's poll waits behind an upload.

Invariant: a part is small enough to be sent and answered well within the time that an answer may
take, so a slow connection is slow and not dead; a part that is sent twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from host.store.redis.client import RedisClient

PART_BYTES = 2**18  # what is larger goes in parts; claim.lua is told
HERE = "+"  # instead of a value: it has been put already


class BigValues:
    """Values of a command, by kind ("payload", "files")."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client

    async def sent(self, kind: str, command_id: str, pieces: Iterable[bytes]) -> bytes | str:
        """The value itself, or HERE when it was big and is there now, for a while.

        Raises StoreUnavailable.
        """
        start, part = 0, b""
        for piece in pieces:
            if part and len(part) + len(piece) > PART_BYTES:
                await self._client.call("put_part", kind, command_id, start, part)
                start, part = start + len(part), b""
            part += piece
        if not start:
            return part
        await self._client.call("put_part", kind, command_id, start, part)
        return HERE

    async def received(
        self, kind: str, command_id: str, value: bytes | int | None
    ) -> list[bytes] | None:
        """The parts of a value as claim.lua names it: itself, or its length; None when it has left
        meanwhile.

        Raises StoreUnavailable.
        """
        if not isinstance(value, int):
            return [value] if value else []
        parts = []
        for start in range(0, value, PART_BYTES):
            end = min(start + PART_BYTES, value) - 1
            parts.append(await self._client.call("get_part", kind, command_id, start, end))
        return parts if sum(map(len, parts)) == value else None
