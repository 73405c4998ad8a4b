"""The connection to the host: which of its addresses is in use, requests, what goes wrong.

Invariant: a call either returns the reply to a request that was taken, or raises `HostUnavailable`
(try again) or `HostRefused` (do not). The next call after one that failed goes to the next address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from sdk.host import wire
from sdk.host.errors import HostDenied, HostRefused, HostUnavailable, describe
from sdk.host.reachability import Reachability

CALL_TIMEOUT_S = 10.0
NO_SUCH_PATH = (404, 405)
"""What answers a poll so is no host, or one that speaks another protocol than the last time."""
QUICK_EMPTY_S = 0.25
"""A poll that comes back empty sooner than this was no long poll: pause, lest it spin."""


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes


class HostConnection:
    """Use as an async context manager. One of `urls` is as good as another."""

    def __init__(self, urls: tuple[str, ...], token: str) -> None:
        self._urls = urls
        self._token = token
        self._current = 0
        self._session: aiohttp.ClientSession | None = None
        self.reachability = Reachability()

    async def __aenter__(self) -> HostConnection:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else None
        # Long polls each keep a connection: no limit, or calls would queue up behind them.
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(connector=connector, headers=headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def url(self) -> str:
        """The host that is being talked to."""
        return self._urls[self._current]

    async def poll(self, path: str, query: Mapping[str, str], timeout_s: float) -> Reply | None:
        """A long poll's reply; None for an empty one, and for none in time."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        try:
            reply = await self.call("GET", path, query, timeout_s=timeout_s)
        except HostUnavailable as error:
            if isinstance(error.__cause__, asyncio.TimeoutError):
                return None
            raise
        if reply.body:
            return reply
        if loop.time() - started_s < QUICK_EMPTY_S:
            await asyncio.sleep(QUICK_EMPTY_S)
        return None

    async def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        timeout_s: float = CALL_TIMEOUT_S,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        url = self.url
        try:
            reply = await self.request(method, path, query, timeout_s, data=data, headers=headers)
            raise_for(reply, f"{method} {path}")
        except HostUnavailable as error:
            self.lost(url, error)
            raise
        except HostRefused as refusal:
            if method == "GET" and refusal.status in NO_SUCH_PATH:
                self.lost(url, refusal)
            raise
        self.reachability.works(url)
        return reply

    def lost(self, url: str, error: Exception) -> None:
        """Note it; the next call goes to the next address, if there are several."""
        self.reachability.fails(url, error)
        if url == self.url:
            self._current = (self._current + 1) % len(self._urls)

    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        timeout_s: float,
        *,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        if self._session is None or self._session.closed:
            raise HostUnavailable("the connection to the host is closed")
        try:
            async with self._session.request(
                method,
                self.url + path,
                params=query,
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response:
                return Reply(response.status, await response.read())
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise HostUnavailable(f"{method} {path}: {describe(error)}") from error


def raise_for(reply: Reply, what: str) -> None:
    if reply.status in (401, 403):
        raise HostDenied(reply.status, _error_in(reply))
    if reply.status >= 500 or reply.status == 429:
        raise HostUnavailable(f"{what} answered {reply.status}: {_error_in(reply)}")
    if reply.status >= 400:
        raise HostRefused(reply.status, _error_in(reply))


def _error_in(reply: Reply) -> str:
    try:
        return str(wire.decode_object(reply.body).get("error", ""))
    except ValueError:
        return reply.body[:200].decode(errors="replace")
