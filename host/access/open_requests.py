"""Requests that are being answered to holders of keys: what a revoked key had open, ends.

Invariant: within a second after a key is revoked nothing more is sent to who held it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from aiohttp import web

from host.access.keys import KeyFile

LOOK_EVERY_S = 0.5


class OpenRequests:
    """All of them, by their keys. `on_closed()` is called when the host gets its first key: what
    is open then belongs to nobody who has one."""

    def __init__(self, keys: KeyFile, on_closed: Callable[[], None]) -> None:
        self._keys = keys
        self._on_closed = on_closed
        self._open: defaultdict[str, dict[asyncio.Task[Any], web.Request]] = defaultdict(dict)

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(map(len, self._open.values()))

    def begins(self, key_id: str, request: web.Request) -> None:
        """It is answered in the task that calls this, and is open until that is done."""
        task = asyncio.current_task()
        assert task is not None, "called by a handler"  # noqa: S101
        self._open[key_id][task] = request
        task.add_done_callback(lambda ended: self._ended(key_id, ended))

    def _ended(self, key_id: str, task: asyncio.Task[Any]) -> None:
        self._open[key_id].pop(task, None)
        if not self._open[key_id]:
            del self._open[key_id]

    async def run(self) -> None:
        """Look at the keys until cancelled, also while nobody shows one."""
        was_closed = self._keys.is_there
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._keys.look()
            if self._keys.is_there and not was_closed:
                self._on_closed()
            was_closed = self._keys.is_there
            for key_id in [one for one in self._open if self._keys.by_id(one) is None]:
                self._end(key_id)

    def _end(self, key_id: str) -> None:
        """Its connections are cut: what answers there ends as if the client had left."""
        for request in self._open[key_id].values():
            if request.transport is not None:
                request.transport.abort()
