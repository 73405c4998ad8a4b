"""Connections: how many there may be, of each address too, and how long one may be of no use.

Invariant: one that is waited on for nothing ends: without a request it is idle, with half of one it
is slow, with an answer that nobody reads it is stuck. One that has a request (a long poll, a stream
of events, an upload) is none of these. Where there are too many, the longest idle make room.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp import StreamReader, web

from host.json_pieces import json_bytes
from host.store.shares import is_within_share
from host.web.server_log import server_log

IDLE_S = 75.0  # longer than proxies keep one that they do not use
HEAD_S = 20.0  # from the first byte of a request to the last of its headers
STUCK_S = 60.0  # in which something of an answer must be taken
LOOK_EVERY_S = 1.0
FOR_ANYBODY = 64  # connections that any address may have, as long as there are any
ACCEPTED_AT_ONCE = 64  # in one turn of the event loop
IGNORED_AT_ONCE = 2  # pieces of bodies that nobody wants, too
IGNORED_S = 10.0  # a client that still sends after its answer may be told no more
BACKLOG = 2048  # that wait meanwhile: what finds no place tries again a whole second later
_SHOWN_CHARS = 200


class Connection(web.RequestHandler):
    """One connection, and what it is doing."""

    __slots__ = (
        *("_all", "_idle", "_is_busy", "_is_known", "_is_slow", "_left", "_since_s"),
        *("begun_s", "network"),
    )

    def __init__(self, all_: Connections, server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._all = all_
        self.network: str | None = None
        self._idle: dict[Connection, None] = {}
        self._is_busy = self._is_slow = self._is_known = False
        self._since_s = self.begun_s = 0.0
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self._since_s = self._all.awake_s
        refusal = self._all.admit(self, str(peer[0]) if peer else "")
        if refusal is None:
            self._is_known = True
            super().connection_made(transport)
        elif isinstance(transport, asyncio.Transport):
            transport.write(refusal)
            transport.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._is_known:
            self._all.gone(self)
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not (self._is_busy or self._is_slow):
            self._is_slow, self._since_s = True, self._all.awake_s
        if self._is_known:
            super().data_received(data)

    def resume_writing(self) -> None:
        self._since_s = self._all.awake_s
        super().resume_writing()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What no handler of ours has seen: a request that is none, or too long. As JSON."""
        if request.writer.output_size:
            raise ConnectionError("an answer has begun already")
        if status >= 500:
            self.logger.error("a request failed", exc_info=exc)
        words = " ".join((message or "it failed").split())[:_SHOWN_CHARS]
        error = f"the request cannot be read: {words}" if status == 400 else words
        body = {"success": False, "error": error, "code": status}
        response = web.Response(
            body=json_bytes(body), status=status, content_type="application/json"
        )
        response.force_close()
        return response

    def belongs_to(self, idle: dict[Connection, None]) -> None:
        """Those of its network that have no request, the longest idle first: it is one of them."""
        self._idle, idle[self] = idle, None

    async def answer_first(self, request: web.Request, response: web.StreamResponse) -> None:
        """Answer a request before its body, which is not wanted, has come."""
        await response.prepare(request)
        await response.write_eof()
        await self._all.ignore_rest(request.content)

    def begins(self) -> None:
        """It has a request."""
        self.begun_s = time.perf_counter()
        self._is_busy, self._is_slow = True, False
        self._idle.pop(self, None)

    def rests(self) -> None:
        """Its request has been answered."""
        self._is_busy, self._since_s = False, self._all.awake_s
        if self.transport is not None:
            self._idle[self] = None

    def ends(self) -> None:
        """It is none of them any more."""
        self._idle.pop(self, None)
        self._idle = {}

    def is_useless(self, now: float) -> bool:
        """Whether it has had its time."""
        if self.transport is None:
            return False
        left = self.transport.get_write_buffer_size()
        if left != self._left or (self._is_busy and not left):
            self._left, self._since_s = left, now
        limit_s = STUCK_S if left else HEAD_S if self._is_slow else IDLE_S
        return now - self._since_s > limit_s


class Connections:
    """All connections of a host: `most` of them. `network_of(address)` is whom one counts for; None
    for a proxy's, where many clients come from."""

    def __init__(self, most: int, network_of: Callable[[str], str | None]) -> None:
        self._most = most
        self._network_of = network_of
        self._known: set[Connection] = set()
        self._of: Counter[str | None] = Counter()
        self._idle: defaultdict[str | None, dict[Connection, None]] = defaultdict(dict)
        self.awake_s = 0.0
        """Seconds for which this host was awake: a host that was stopped has read nothing."""
        self._turns = asyncio.Semaphore(IGNORED_AT_ONCE)

    def __len__(self) -> int:
        return len(self._known)

    def protocol(self, server: web.Server) -> Callable[[], Connection]:
        """What makes the protocol of each connection, with requests for `server`."""
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {
            "loop": loop,
            "access_log": None,
            "logger": server_log(),
            "auto_decompress": False,  # host.web.uploads refuses what is compressed
            "lingering_time": 0,  # `ignore_rest` does it
        }
        return lambda: Connection(self, server, **options)

    async def run(self) -> None:
        """End what is of no use, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.awake_s += LOOK_EVERY_S
            for one in [one for one in self._known if one.is_useless(self.awake_s)]:
                one.force_close()

    async def ignore_rest(self, body: StreamReader) -> None:
        """Read on what was refused, as its client reads its answer when it has sent all: a few
        bodies in each turn of the event loop, however many there are."""
        with suppress(asyncio.TimeoutError, web.RequestPayloadError):
            await asyncio.wait_for(self._ignore(body), IGNORED_S)

    async def _ignore(self, body: StreamReader) -> None:
        while await body.readany():
            async with self._turns:
                await asyncio.sleep(0)

    def end_all(self) -> None:
        """Whoever may, comes again."""
        for one in list(self._known):
            one.force_close()

    def admit(self, new: Connection, address: str) -> bytes | None:
        """Count a new connection, or say why it cannot be one."""
        new.network = self._network_of(address)
        if not self._has_room(new.network):
            self._make_room(new.network)
        if not self._has_room(new.network):
            return _refusal(
                f"{len(self._known)} are open, {self._of[new.network]} of them from there"
            )
        self._known.add(new)
        self._of[new.network] += 1
        new.belongs_to(self._idle[new.network])
        return None

    def gone(self, old: Connection) -> None:
        """It has ended."""
        if old not in self._known:
            return
        self._known.remove(old)
        self._of[old.network] -= 1
        old.ends()
        if not self._of[old.network]:
            del self._of[old.network]
            self._idle.pop(old.network, None)

    def _has_room(self, network: str | None) -> bool:
        total = len(self._known) + 1
        own = 0 if network is None else self._of[network] + 1
        return is_within_share(own, total, self._most, FOR_ANYBODY)

    def _make_room(self, network: str | None) -> None:
        """The longest idle of the same network ends; or, where all are in use, of another's."""
        idle = self._idle.get(network)
        if not idle and len(self._known) >= self._most:
            idle = max(self._idle.values(), key=len, default=None)
        if idle:
            oldest = next(iter(idle))
            oldest.force_close()
            self.gone(oldest)


def _refusal(got: str) -> bytes:
    error = (
        f"expected fewer connections from your address, or in all: {got}; use those that you have, "
        "or set a larger MaxConnections under Server in the host's modulesettings.json"
    )
    body = json_bytes({"success": False, "error": error, "code": 503})
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Retry-After: 1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
