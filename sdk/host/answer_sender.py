"""Sends answers to the host, each in a task of its own, until the host takes or refuses them.

Invariant: answers wait for a host that is away and are dropped only when it refuses them or the
module ends; a slow host never holds up the module's work.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from sdk.host.client import HostClient
from sdk.host.errors import HostRefused, HostUnavailable
from sdk.host.tasks import Backoff, TaskSet
from sdk.host.wire import Work, encode_json

logger = logging.getLogger(__name__)


class Identity(Protocol):
    """Who signs the answers."""

    module_id: str
    module_name: str
    inference_device: str


class AnswerSender:
    """`on_refused` is told of every command whose answer the host does not want."""

    def __init__(
        self, client: HostClient, identity: Identity, on_refused: Callable[[Work], None]
    ) -> None:
        self._client = client
        self._identity = identity
        self._on_refused = on_refused
        self._tasks = TaskSet()
        self._on_the_way: Counter[str] = Counter()

    def pending(self) -> list[str]:
        """The requests whose answers the host has neither taken nor refused yet."""
        return list(self._on_the_way)

    def send(
        self, work: Work, answer: dict[str, Any], then: Callable[[], None] | None = None
    ) -> None:
        """Queues the answer to one command for sending; `then` is called when it has arrived."""
        body = encode_json(enveloped(answer, work, self._identity))
        self._on_the_way[work.request_id] += 1
        task = self._tasks.spawn(self._send(work, body, then))
        task.add_done_callback(lambda _: self._arrived(work.request_id))

    async def drain(self, timeout_s: float) -> None:
        """Gives what is still to be sent a last chance, then gives up on it."""
        await self._tasks.wait(timeout_s)
        await self._tasks.cancel()

    def _arrived(self, request_id: str) -> None:
        self._on_the_way[request_id] -= 1
        self._on_the_way += Counter()  # forgets the zeros

    async def _send(self, work: Work, body: bytes, then: Callable[[], None] | None) -> None:
        try:
            await self._deliver(work, body)
        except HostRefused as refusal:
            logger.warning("answer to %s dropped: %s", work.request_id, refusal)
            self._on_refused(work)
        else:
            if then is not None:
                then()

    async def _deliver(self, work: Work, body: bytes) -> None:
        """Returns when the host has taken it, raises when it refuses it."""
        backoff = Backoff()
        while True:
            try:
                return await self._client.answer(work.request_id, work.attempt, body)
            except HostUnavailable:
                await backoff.pause()


def enveloped(answer: dict[str, Any], work: Work, identity: Identity) -> dict[str, Any]:
    """The answer with the fields that every module's answer carries."""
    code = answer.get("code")
    if not isinstance(code, int) or isinstance(code, bool):
        code = 200 if answer["success"] else 500
    return answer | {
        "moduleId": identity.module_id,
        "moduleName": identity.module_name,
        "code": code,
        "command": work.command,
        "requestId": work.request_id,
        "inferenceDevice": str(identity.inference_device),
    }
