"""A small client of a running host, for the command line: start, follow, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

POLL_WAIT_S = 10.0
RETRY_PAUSE_S = 0.5
RETRIES = 10


class HostError(Exception):
    """The host refused, failed, or cannot be reached; the message says which and why. `status` is
    what it answered with."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class HostClient:
    """Talks to the host at `url`, showing `token` if given. Use as an async context manager."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> HostClient:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=45)
        self._session = aiohttp.ClientSession(timeout=timeout, headers=self._headers)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, path: str, **values: Any) -> dict[str, Any]:
        """One request; the reply is the host's JSON. Raises HostError."""
        assert self._session is not None, "use `async with`"  # noqa: S101
        url = f"{self._url}{path}"
        query = {"params": values} if method == "GET" else {"json": values}
        try:
            async with self._session.request(method, url, **query) as response:
                body = await response.json(content_type=None)
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            raise HostError(
                f"no host answers at {self._url} ({error or type(error).__name__}); "
                "start one with `llamachat serve`; `llamachat doctor` says what keeps it"
            ) from error
        except ValueError as error:
            raise HostError(f"{url} answered with something that is not JSON") from error
        if not isinstance(body, dict):
            raise HostError(f"{url} answered with something that is no JSON object")
        if response.status >= 400:
            raise HostError(str(body.get("error", f"HTTP {response.status}")), response.status)
        return body

    async def start(self, route: str, **values: Any) -> dict[str, Any]:
        """Start a command; the reply holds its `commandId` and `moduleId`."""
        return await self.call("POST", f"/v1/{route}", **values)

    async def follow(self, started: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Every change of a command, each with the `delta` since the one before, to its end."""
        path = f"/v1/{started['moduleId']}/get_command_status"
        offset, failures = 0, 0
        while True:
            values = {"commandId": started["commandId"], "offset": offset, "wait": POLL_WAIT_S}
            try:
                status = await self.call("POST", path, **values)
            except HostError:
                failures += 1  # the command goes on: a lost connection is no lost reply
                if failures > RETRIES:
                    raise
                await asyncio.sleep(RETRY_PAUSE_S)
                continue
            offset, failures = status["nextOffset"], 0
            yield status
            if status["state"] not in ("queued", "running"):
                return

    async def cancel(self, started: dict[str, Any]) -> dict[str, Any]:
        """Tell a command to stop."""
        path = f"/v1/{started['moduleId']}/cancel_command"
        return await self.call("POST", path, commandId=started["commandId"])
