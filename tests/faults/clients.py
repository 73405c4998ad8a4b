"""Clients that start commands and follow them, whatever happens to their hosts."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from hosts import MODULE
from watch import ENDS, Watch, counted

Report = Callable[[dict[str, Any]], None]

STATUS = f"/v1/{MODULE}/get_command_status"
CANCEL = f"/v1/{MODULE}/cancel_command"
START = "/v1/example/count-words"
TRY_AGAIN = (502, 503)
PAUSE_S = 0.25  # before a failed request is tried again
ANSWER_WITHIN_S = 40.0
_BROKEN = (aiohttp.ClientError, asyncio.TimeoutError, OSError)


@dataclass
class Crowd:
    """What the clients of one run share. `kills()` is how often something was killed so far."""

    session: aiohttp.ClientSession
    urls: list[str]
    chance: random.Random
    kills: Callable[[], int] = lambda: 0
    may_lose_tail: bool = False
    watches: list[Watch] = field(default_factory=list)
    failed_requests: int = 0
    unmended: int = 0  # failed requests right after another, although nothing was killed between
    is_over: bool = False
    delay_ms: int = 100  # between the words of a command

    async def run(self, clients: int) -> None:
        """So many clients, one command at a time each, until `is_over`; all commands then end.

        A few have shorter ones, or a run of seconds would mostly wait for the last of them.
        """
        self.delay_ms = 100 if clients >= 100 else 50
        made = [Client(self, number) for number in range(clients)]
        await asyncio.gather(*(one.work() for one in made))

    async def complete(self, count: int) -> None:
        """So many short commands, one after another in each of a few clients."""
        left = iter(range(count))

        async def work(client: Client) -> None:
            for number in left:
                await client.one(f"{len(self.watches)}.{number}-", words=3, delay_ms=0)

        await asyncio.gather(*(work(Client(self, number)) for number in range(16)))

    async def check_again(self) -> None:
        """Every command that was started is readable, and as it was at its end."""
        client, left = Client(self, 0), iter(self.watches)

        async def look() -> None:
            for watch in left:
                watch.still_stands(await client.ask("GET", f"/v1/commands/{watch.command_id}"))

        await asyncio.gather(*(look() for _ in range(8)))
        ids = {watch.command_id for watch in self.watches}
        assert len(ids) == len(self.watches)

    async def reply(self, command_id: str) -> str:
        """The reply of a command, once it has ended."""
        client, state = Client(self, 0), ""
        while state not in ENDS:
            values = {"commandId": command_id, "wait": 10}
            status = await client.ask("POST", STATUS, json=values)
            state = status["state"]
        return str(status["reply"])

    async def stats(self) -> dict[str, Any]:
        """What the host counts for the module's queue."""
        queues = (await Client(self, 0).ask("GET", "/v1/stats"))["queues"]
        return next(one for one in queues if one["moduleId"] == MODULE)

    @property
    def ends(self) -> Counter[str]:
        return Counter(str(watch.end["state"]) for watch in self.watches)

    def figures(self) -> dict[str, Any]:
        ends = self.ends
        return {
            "commands": len(self.watches),
            **{state: ends[state] for state in ("completed", "failed", "cancelled")},
            "failed requests": self.failed_requests,
            "failed retries": self.unmended,
        }


@asynccontextmanager
async def crowd(urls: list[str], seed: int, **more: Any) -> AsyncIterator[Crowd]:
    """With connections of its own."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Crowd(session, urls, random.Random(seed), **more)


class Client:
    """Stays with one host until a request fails, then goes to the next."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self._crowd = crowd
        self._number = number
        self._url = crowd.urls[number % len(crowd.urls)]
        self._failed_at: int | None = None  # how many kills there were when its last request failed
        self._follow = self._by_events if number % 2 else self._by_polls

    async def work(self) -> None:
        """Command after command."""
        count = 0
        while not self._crowd.is_over:
            count += 1
            words = self._crowd.chance.randint(10, 20)
            await self.one(f"{self._number}.{count}é😀", words, self._crowd.delay_ms, cancels=0.05)

    async def one(self, word: str, words: int, delay_ms: int, cancels: float = 0) -> None:
        """One command from its start to its end; `cancels` is the chance of its being cancelled."""
        key = {"Idempotency-Key": word}
        values = {"words": words, "word": word, "delay_ms": delay_ms}
        started = await self.ask("POST", START, json=values, headers=key)
        expected, may_lose_tail = counted(words, word), self._crowd.may_lose_tail
        watch = Watch(started["commandId"], expected, may_lose_tail=may_lose_tail)
        self._crowd.watches.append(watch)
        if self._crowd.chance.random() < cancels:
            await self._cancel(watch)
        while not watch.has_ended:
            await self._follow(watch)

    async def _cancel(self, watch: Watch) -> None:
        watch.is_cancel_wanted = True
        await asyncio.sleep(self._crowd.chance.uniform(0, 2))
        await self.ask("POST", CANCEL, json={"commandId": watch.command_id})

    async def _by_polls(self, watch: Watch) -> None:
        values = {"commandId": watch.command_id, "offset": len(watch.text), "wait": 10}
        status = await self.ask("POST", STATUS, json=values)
        if status["state"] in ENDS:
            whole = await self.ask("GET", f"/v1/commands/{watch.command_id}")
            status["reply"] = whole["reply"]
        watch.saw(status)

    async def _by_events(self, watch: Watch) -> None:
        async def read(response: aiohttp.ClientResponse) -> None:
            async for line in response.content:
                if line.startswith(b"data: "):
                    watch.saw(json.loads(line[6:]))

        headers = {"Last-Event-ID": str(len(watch.text))}
        path = f"/v1/commands/{watch.command_id}/events"
        await self._try("GET", path, read, headers=headers)

    async def ask(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        """The JSON of a request that is tried until a host serves it."""

        async def read(response: aiohttp.ClientResponse) -> dict[str, Any]:
            return dict(await response.json())

        while (found := await self._try(method, path, read, **kwargs)) is None:
            pass
        return dict(found)

    async def _try(
        self, method: str, path: str, read: Callable[[aiohttp.ClientResponse], Any], **kwargs: Any
    ) -> Any:
        """What `read` makes of the answer; None when the request failed in a way that passes."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=ANSWER_WITHIN_S)
        request = self._crowd.session.request(method, self._url + path, timeout=timeout, **kwargs)
        try:
            async with request as response:
                if response.status == 200:
                    found = await read(response)
                    self._failed_at = None
                    return found
                text = await response.text()
                assert response.status in TRY_AGAIN, f"{response.status}: {text}"
        except _BROKEN:
            pass
        self._has_failed()
        await asyncio.sleep(PAUSE_S)
        return None

    def _has_failed(self) -> None:
        urls, kills = self._crowd.urls, self._crowd.kills()
        self._crowd.failed_requests += 1
        self._crowd.unmended += self._failed_at == kills
        self._failed_at = kills
        self._url = urls[(urls.index(self._url) + 1) % len(urls)]
