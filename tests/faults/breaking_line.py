"""A connection between a client and its host that breaks at random moments."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from urllib.parse import urlsplit

_UPWARDS = 600  # about as long as a request
_DOWNWARDS = 900  # about as long as an answer


class BreakingLine:
    """Passes bytes on; about half of its connections break, in one of the ways that `cuts` counts.

    Whether the host has carried out what was asked is open then, and left to chance.
    """

    def __init__(self, url: str, chance: random.Random) -> None:
        self._host = urlsplit(url)
        self._chance = chance
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[bool]] = set()
        self.cuts: Counter[str] = Counter()
        self.url = ""

    async def __aenter__(self) -> BreakingLine:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        way = self._chance.choice(["none", "none", "none", "asking", "asked", "answering"])
        host, questions = await asyncio.open_connection(self._host.hostname, self._host.port)
        upwards = self._chance.randrange(_UPWARDS) if way == "asking" else None
        downwards = {"asked": 0, "answering": self._chance.randrange(1, _DOWNWARDS)}.get(way)
        jobs = (_pass_on(client, questions, upwards), _pass_on(host, answers, downwards))
        tasks = [asyncio.create_task(job) for job in jobs]
        self._tasks.update(tasks)
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if any(task.result() for task in done if not task.cancelled()):
            self.cuts[way] += 1
        for task in tasks:
            task.cancel()
            self._tasks.discard(task)
        for writer in (answers, questions):
            if self._chance.random() < 0.5:
                writer.transport.abort()
            writer.close()


async def _pass_on(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, limit: int | None
) -> bool:
    """At most `limit` bytes; True when it has cut something off."""
    passed = 0
    try:
        while data := await source.read(65536):
            if limit is not None and passed + len(data) > limit:
                target.write(data[: limit - passed])
                await target.drain()
                return True
            target.write(data)
            passed += len(data)
    except ConnectionError:
        pass
    return False
