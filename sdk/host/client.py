"""The calls a module makes to its host: one method a call, errors in two kinds.

Invariant: every method either returns what the host said, or raises `HostUnavailable` (try again)
or `HostRefused` (do not). Nothing here decides when to call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from sdk.host import wire
from sdk.host.errors import HostDenied, HostRefused, HostUnavailable, describe
from sdk.host.reachability import Reachability
from sdk.host.tasks import Backoff

T = TypeVar("T")

CALL_TIMEOUT_S = 10.0
STATUS_TIMEOUT_S = 5.0
"""A status says which commands the module holds: one that comes late says what was."""
POLL_WAIT_S = 10
PART1_POLL_TIMEOUT_S = 15.0
NO_SUCH_PATH = (404, 405)
"""What answers a poll so is no host, or one that speaks another protocol than the last time."""
QUICK_EMPTY_S = 0.25
"""A poll that comes back empty sooner than this was no long poll: pause, lest it spin."""


@dataclass(frozen=True)
class HostAddress:
    """Where the host is and who is calling. Addresses have no slash at the end.

    `more_urls` are further hosts on the same store: one is as good as another.
    """

    url: str
    module_id: str
    queue_name: str
    instance_id: str
    token: str = ""
    more_urls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes


class HostClient:
    """Use as an async context manager; `protocol` is set by `handshake()`."""

    def __init__(self, address: HostAddress) -> None:
        self._address = address
        self._urls = (address.url, *(url for url in address.more_urls if url != address.url))
        self._current = 0
        self._session: aiohttp.ClientSession | None = None
        self.reachability = Reachability()
        self.protocol = 1

    async def __aenter__(self) -> HostClient:
        token = self._address.token
        headers = {"Authorization": f"Bearer {token}"} if token else None
        # Long polls each keep a connection: no limit, or calls would queue up behind them.
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(connector=connector, headers=headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def handshake(self) -> wire.Handshake:
        """Asks once. A host that answers, but not to this, speaks part 1."""
        try:
            reply = await self._request("GET", wire.PING_PATH, {}, CALL_TIMEOUT_S)
            self._raise_for(reply, f"GET {wire.PING_PATH}")
            shake = wire.read_handshake(reply.body)
        except HostRefused:
            shake = wire.Handshake(1)
        except HostUnavailable as error:
            self._lost(self.url, error)
            raise
        self.protocol = shake.protocol
        return shake

    @property
    def url(self) -> str:
        """The host that is being talked to."""
        return self._urls[self._current]

    async def poll_work(self) -> wire.Work | None:
        """One claimed command, or None when nothing came."""
        query = self._query() | wire.claim_query(POLL_WAIT_S)
        reply = await self._poll(wire.queue_path(self._address.queue_name), query, POLL_WAIT_S + 5)
        return _read(wire.read_work, reply)

    async def poll_part1(self) -> wire.Work | None:
        """One item from a part-1 queue, system commands included; None when nothing came."""
        query = wire.module_query(self._address.module_id)
        path = wire.queue_path(self._address.queue_name)
        return _read(wire.read_work, await self._poll(path, query, PART1_POLL_TIMEOUT_S))

    async def poll_control(self) -> list[wire.Control]:
        query = self._query() | {"wait": str(POLL_WAIT_S)}
        path = wire.control_path(self._address.module_id)
        return _read(wire.read_controls, await self._poll(path, query, POLL_WAIT_S + 5)) or []

    async def answer(self, request_id: str, attempt: str, body: bytes) -> None:
        """Answers one command. HostRefused: the host no longer wants this answer."""
        query = self._query() | ({"attempt": attempt} if attempt else {})
        # The field's SDK sends text/plain, and its host has never seen anything else.
        content_type = "application/json" if self.protocol >= wire.PROTOCOL else "text/plain"
        headers = {"Content-Type": f"{content_type}; charset=utf-8"}
        await self._call("POST", wire.answer_path(request_id), query, data=body, headers=headers)

    async def progress(self, report: wire.ProgressReport) -> wire.ProgressReply:
        query = {"instanceId": self._address.instance_id}
        path = wire.progress_path(self._address.module_id)
        body = wire.encode_json(dict(report))
        headers = {"Content-Type": "application/json"}
        reply = await self._call("POST", path, query, data=body, headers=headers)
        answer = _read(wire.read_progress_reply, reply)
        if answer is None:
            raise HostUnavailable("the host's answer to a progress report was empty")
        return answer

    async def module_status(self, status: Mapping[str, Any]) -> None:
        text = wire.encode_json(status).decode()
        query = {} if self.protocol < wire.PROTOCOL else self._query()
        path = wire.module_status_path(self._address.module_id)
        data = {"statusData": text}
        await self._call("POST", path, query, timeout_s=STATUS_TIMEOUT_S, data=data)

    async def log(self, entry: wire.LogEntry) -> None:
        form = {key: wire.clean_text(value) for key, value in vars(entry).items()}
        await self._call("POST", wire.LOG_PATH, {}, data=form)

    async def call_api(self, route: str, form: aiohttp.FormData) -> dict[str, Any]:
        """Any route of the host's client API, for modules that use other modules."""
        reply = await self._request("POST", f"/v1/{route}", {}, CALL_TIMEOUT_S, data=form)
        return _read(dict, reply) or {}

    def _query(self) -> dict[str, str]:
        is_part1 = self.protocol < wire.PROTOCOL
        return wire.module_query(
            self._address.module_id, "" if is_part1 else self._address.instance_id
        )

    async def _poll(self, path: str, query: Mapping[str, str], timeout_s: float) -> Reply | None:
        """A long poll's reply; None for an empty one, and for none in time."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        try:
            reply = await self._call("GET", path, query, timeout_s=timeout_s)
        except HostUnavailable as error:
            if isinstance(error.__cause__, asyncio.TimeoutError):
                return None
            raise
        if reply.body:
            return reply
        if loop.time() - started_s < QUICK_EMPTY_S:
            await asyncio.sleep(QUICK_EMPTY_S)
        return None

    async def _call(
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
            reply = await self._request(method, path, query, timeout_s, data=data, headers=headers)
            self._raise_for(reply, f"{method} {path}")
        except HostUnavailable as error:
            self._lost(url, error)
            raise
        except HostRefused as refusal:
            if method == "GET" and refusal.status in NO_SUCH_PATH:
                self._lost(url, refusal)
            raise
        self.reachability.works(url)
        return reply

    def _lost(self, url: str, error: Exception) -> None:
        """Note it; the next call goes to the next address, if there are several."""
        self.reachability.fails(url, error)
        if url == self.url:
            self._current = (self._current + 1) % len(self._urls)

    @staticmethod
    def _raise_for(reply: Reply, what: str) -> None:
        if reply.status in (401, 403):
            raise HostDenied(reply.status, _error_in(reply))
        if reply.status >= 500 or reply.status == 429:
            raise HostUnavailable(f"{what} answered {reply.status}: {_error_in(reply)}")
        if reply.status >= 400:
            raise HostRefused(reply.status, _error_in(reply))

    async def _request(
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


async def until_answered(call: Callable[[], Awaitable[None]]) -> None:
    """Calls until the host takes it or refuses it (HostRefused), pausing longer and longer."""
    backoff = Backoff()
    while True:
        try:
            await call()
        except HostUnavailable:
            await backoff.pause()
        else:
            return


def _read(reader: Callable[[dict[str, Any]], T], reply: Reply | None) -> T | None:
    """What `reader` makes of a reply's JSON; a garbled reply is a host in trouble."""
    if reply is None or not reply.body:
        return None
    try:
        return reader(wire.decode_object(reply.body))
    except ValueError as error:
        raise HostUnavailable(f"the host sent what cannot be read: {error}") from error


def _error_in(reply: Reply) -> str:
    try:
        return str(wire.decode_object(reply.body).get("error", ""))
    except ValueError:
        return reply.body[:200].decode(errors="replace")
