"""The switchboard that hosts share: mail in lists, wake-ups by pub/sub, the directory by host.

Invariant: mail for an instance reaches it through any host, and an answer the host that asked.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from dataclasses import asdict, replace
from typing import Any

from host.store.redis.connections import RedisConnections
from host.switchboard.protocol import Sighting
from host.wire import Control

MAIL_S = 300  # what an instance did not collect for this long is given up
HOST_S = 45  # a host that has told nothing for this long is gone


class RedisSwitchboard:
    """The switchboard of the hosts whose connections go to one Redis, under one namespace."""

    def __init__(self, connections: RedisConnections) -> None:
        self._connections = connections
        self._client = connections.client
        self._subscriber = connections.subscriber
        self._host_id = secrets.token_hex(8)
        self._is_closed = False

    async def open(self) -> None:
        """Connect. Raises StoreUnavailable."""
        await self._connections.open()

    async def post(self, instance_id: str, control: Control) -> None:
        await self._post(instance_id, control, 1.0)

    async def _post(self, instance_id: str, control: Control, answer_s: float) -> None:
        reqid, answer_ms = control.get("reqid", ""), max(1, round(answer_s * 1000))
        await self._client.call("post", instance_id, json.dumps(control), reqid, MAIL_S, answer_ms)

    async def collect(self, instance_id: str, limit: int = 100) -> list[Control]:
        mail = await self._client.call("collect", instance_id, limit, secrets.token_hex(8))
        return [json.loads(one) for one in mail]

    async def wait(self, instance_id: str, timeout_s: float) -> None:
        async with self._subscriber.listening(
            self._connections.channel("mail", instance_id)
        ) as listener:
            if not self._is_closed and not await self._client.call("mail", instance_id):
                await listener.wait(timeout_s)

    def poke(self, instance_id: str) -> None:
        self._subscriber.ring(self._connections.channel("mail", instance_id))

    def drop(self, instance_id: str) -> None:
        """Its mail leaves by itself: another host may still know better."""

    async def ask(
        self, instance_id: str, control: Control, timeout_s: float
    ) -> dict[str, Any] | None:
        reqid, loop = control["reqid"], asyncio.get_running_loop()
        ends_at = loop.time() + timeout_s
        async with self._subscriber.listening(
            self._connections.channel("answer", reqid)
        ) as listener:
            await self._post(instance_id, control, timeout_s)
            while not self._is_closed:
                body = await self._client.call("answered", reqid)
                if body is not None:
                    answer: dict[str, Any] = json.loads(body)
                    return answer
                left_s = ends_at - loop.time()
                if left_s <= 0:
                    break
                await listener.wait(left_s)
        return None

    async def answer(self, reqid: str, body: dict[str, Any]) -> bool:
        return bool(await self._client.call("answer", reqid, json.dumps(body)))

    async def exchange(self, seen: list[Sighting]) -> list[Sighting]:
        told = {"now": time.monotonic(), "seen": [asdict(one) for one in seen]}
        said = json.dumps(told, default=str)
        answer = await self._client.call("exchange", self._host_id, said, HOST_S)
        heard: list[Sighting] = []
        for age_s, text in zip(answer[::2], answer[1::2], strict=True):
            body = json.loads(text)
            # between the two hosts' clocks, of whatever kind: older hosts tell the system's time
            shift_s = time.monotonic() - float(age_s) - body["now"]
            heard += [_shifted(Sighting(**one), shift_s) for one in body["seen"]]
        return heard

    async def shared(self, name: str, own: str) -> str:
        found: bytes = await self._client.call("shared", name, own)
        return found.decode()

    async def close(self) -> None:
        self._is_closed = True
        self._subscriber.ring_all()
        await self._connections.close()


def _shifted(sighting: Sighting, shift_s: float) -> Sighting:
    """In this host's time."""
    return replace(
        sighting,
        first_seen=sighting.first_seen + shift_s,
        last_seen=sighting.last_seen + shift_s,
        status_at=sighting.status_at + shift_s,
    )
