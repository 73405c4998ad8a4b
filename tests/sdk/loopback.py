"""What the hosts of these tests have in common: a web server on a free port, and waiting for facts.

Invariant: nothing here sleeps for a time; `until()` looks again whenever something has changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

DEADLINE_S = 20.0


class LoopbackServer:
    """A web server on 127.0.0.1 that can be stopped and started again at the same port."""

    def __init__(self) -> None:
        self.port = 0
        self._runner: web.AppRunner | None = None
        self._changed = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def make_app(self) -> web.Application:
        raise NotImplementedError

    async def start(self) -> None:
        self._runner = web.AppRunner(self.make_app(), shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def changed(self) -> None:
        self._changed.set()

    async def until(self, fact: Callable[[], Any], what: str = "") -> Any:
        """What `fact()` returns once it is true; AssertionError after the deadline."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + DEADLINE_S
        while not (value := fact()):
            self._changed.clear()
            if loop.time() > end_s:
                raise AssertionError(f"never came: {what or fact}; {self.describe()}")
            try:
                await asyncio.wait_for(self._changed.wait(), 0.5)
            except asyncio.TimeoutError:
                pass
        return value

    def describe(self) -> str:
        """What is known, for a failed wait."""
        return ""


def payload(command: str = "test", **values: object) -> dict[str, Any]:
    """A payload as hosts make it from a form."""
    return {
        "queue": "test_queue",
        "command": command,
        "urlSegments": [],
        "values": [{"key": key, "value": [str(value)]} for key, value in values.items()],
        "files": [],
    }
