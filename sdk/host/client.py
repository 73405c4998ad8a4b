"""The calls a module makes to its host: one method a call, errors in two kinds.

Invariant: every method either returns what the host said, or raises `HostUnavailable` (try again)
or `HostRefused` (do not). Nothing here decides when to call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from sdk.host import wire
from sdk.host.connection import CALL_TIMEOUT_S, HostConnection, Reply, raise_for
from sdk.host.errors import HostRefused, HostUnavailable

T = TypeVar("T")

STATUS_TIMEOUT_S = 5.0
"""A status says which commands the module holds: one that comes late says what was."""
POLL_WAIT_S = 10
PART1_POLL_TIMEOUT_S = 15.0


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


class HostClient:
    """Use as an async context manager; `protocol` is set by `handshake()`."""

    def __init__(self, address: HostAddress) -> None:
        self._address = address
        more = (url for url in address.more_urls if url != address.url)
        self._host = HostConnection((address.url, *more), address.token)
        self.reachability = self._host.reachability
        self.protocol = 1

    async def __aenter__(self) -> HostClient:
        await self._host.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._host.__aexit__()

    async def handshake(self) -> None:
        """Asks once. A host that answers, but not to this, speaks part 1."""
        try:
            reply = await self._host.request("GET", wire.PING_PATH, {}, CALL_TIMEOUT_S)
            raise_for(reply, f"GET {wire.PING_PATH}")
            self.protocol = wire.read_protocol(reply.body)
        except HostRefused:
            self.protocol = 1
        except HostUnavailable as error:
            self._host.lost(self._host.url, error)
            raise

    async def poll_work(self) -> wire.Work | None:
        """One claimed command, or None when nothing came."""
        query = self._query() | wire.claim_query(POLL_WAIT_S)
        path = wire.queue_path(self._address.queue_name)
        return _read(wire.read_work, await self._host.poll(path, query, POLL_WAIT_S + 5))

    async def poll_part1(self) -> wire.Work | None:
        """One item from a part-1 queue, system commands included; None when nothing came."""
        query = wire.module_query(self._address.module_id)
        path = wire.queue_path(self._address.queue_name)
        return _read(wire.read_work, await self._host.poll(path, query, PART1_POLL_TIMEOUT_S))

    async def poll_control(self) -> list[wire.Control]:
        query = self._query() | {"wait": str(POLL_WAIT_S)}
        path = wire.control_path(self._address.module_id)
        return _read(wire.read_controls, await self._host.poll(path, query, POLL_WAIT_S + 5)) or []

    async def answer(self, request_id: str, attempt: str, body: bytes) -> None:
        """Answers one command. HostRefused: the host no longer wants this answer."""
        query = self._query() | ({"attempt": attempt} if attempt else {})
        # The field's SDK sends text/plain, and its host has never seen anything else.
        content_type = "application/json" if self.protocol >= wire.PROTOCOL else "text/plain"
        headers = {"Content-Type": f"{content_type}; charset=utf-8"}
        await self._host.call(
            "POST", wire.answer_path(request_id), query, data=body, headers=headers
        )

    async def progress(self, report: wire.ProgressReport) -> wire.ProgressReply:
        query = {"instanceId": self._address.instance_id}
        path = wire.progress_path(self._address.module_id)
        body = wire.encode_json(dict(report))
        headers = {"Content-Type": "application/json"}
        reply = await self._host.call("POST", path, query, data=body, headers=headers)
        answer = _read(wire.read_progress_reply, reply)
        if answer is None:
            raise HostUnavailable("the host's answer to a progress report was empty")
        return answer

    async def module_status(self, status: Mapping[str, Any]) -> None:
        text = wire.encode_json(status).decode()
        query = {} if self.protocol < wire.PROTOCOL else self._query()
        path = wire.module_status_path(self._address.module_id)
        data = {"statusData": text}
        await self._host.call("POST", path, query, timeout_s=STATUS_TIMEOUT_S, data=data)

    async def log(self, entry: wire.LogEntry) -> None:
        form = {key: wire.clean_text(value) for key, value in vars(entry).items()}
        await self._host.call("POST", wire.LOG_PATH, {}, data=form)

    async def call_api(self, route: str, form: aiohttp.FormData) -> dict[str, Any]:
        """Any route of the host's client API, for modules that use other modules."""
        reply = await self._host.request("POST", f"/v1/{route}", {}, CALL_TIMEOUT_S, data=form)
        return _read(dict, reply) or {}

    def _query(self) -> dict[str, str]:
        is_part1 = self.protocol < wire.PROTOCOL
        return wire.module_query(
            self._address.module_id, "" if is_part1 else self._address.instance_id
        )


def _read(reader: Callable[[dict[str, Any]], T], reply: Reply | None) -> T | None:
    """What `reader` makes of a reply's JSON; a garbled reply is a host in trouble."""
    if reply is None or not reply.body:
        return None
    try:
        return reader(wire.decode_object(reply.body))
    except ValueError as error:
        raise HostUnavailable(f"the host sent what cannot be read: {error}") from error
