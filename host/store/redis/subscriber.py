"""Wake-ups from Redis: one connection listens on every channel that somebody here waits on.

Invariants: whoever has begun to listen misses nothing that is published from then on; after a lost
connection every waiter is woken, for it may have missed something. Of those who listen for work,
one is woken by each message; who leaves without having heard it passes it on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import RedisError

from host.store.redis.client import FIRST_PAUSE_S, LONGEST_PAUSE_S, RedisClient
from host.store.redis.connection import Connection
from host.store.redis.errors import ConnectionLost, plain_words
from host.wakeups import until_set

_log = logging.getLogger(__name__)

CONFIRM_S = 1.0  # how long a listener waits for Redis to say that it is heard
TEND_S = 5.0  # how often the connection is tried, and idle channels are left
LINGER_S = 10.0  # a channel that nobody listens to any more stays subscribed for this long
SILENCE_S = 15.0  # three tries without an answer: the connection is dead


class Listener:
    """One listener on one channel. What rings before it waits is not lost.

    Of the listeners in one `line` a message rings the first that has not rung yet; in none, all.
    """

    def __init__(self, line: str = "") -> None:
        self.line = line
        self._has_rung = False
        self._future: asyncio.Future[None] | None = None

    @property
    def has_rung(self) -> bool:
        """It has rung, and nobody has heard it yet."""
        return self._has_rung

    def ring(self) -> None:
        """Something was published."""
        self._has_rung = True
        if self._future is not None:
            _end(self._future)

    async def wait(self, timeout_s: float) -> bool:
        """True when it has rung since the last wait, False when the time was over."""
        if not self._has_rung:
            loop = asyncio.get_running_loop()
            self._future = loop.create_future()
            timer = loop.call_later(timeout_s, _end, self._future)
            try:
                await self._future
            finally:
                timer.cancel()
                self._future = None
        has_rung, self._has_rung = self._has_rung, False
        return has_rung


def _end(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


@dataclass
class Channel:
    """Who listens on it."""

    idle_since: float
    listeners: dict[Listener, None] = field(default_factory=dict)  # in the order they came
    is_heard: asyncio.Event = field(default_factory=asyncio.Event)

    def ring(self) -> None:
        """All: something may have been missed."""
        for listener in self.listeners:
            listener.ring()

    def tell(self) -> None:
        """Something was published."""
        told: set[str] = set()
        for listener in self.listeners:
            if not (listener.line in told or (listener.line and listener.has_rung)):
                listener.ring()
                if listener.line:
                    told.add(listener.line)

    def leave(self, left: Listener) -> None:
        del self.listeners[left]
        if left.line and left.has_rung:
            self._pass_on(left.line)

    def _pass_on(self, line: str) -> None:
        for listener in self.listeners:
            if listener.line == line and not listener.has_rung:
                return listener.ring()


class Subscriber:
    """Listens for a whole host."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._connection: Connection | None = None
        self._channels: dict[bytes, Channel] = {}
        self._heard_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Begin; a Redis that is away is waited for."""
        self._tasks = [asyncio.create_task(job) for job in (self._keep(), self._tend())]

    async def close(self) -> None:
        """Wake every listener and hang up."""
        self.ring_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()

    def ring_all(self) -> None:
        """Make everybody look again, those too who are not heard yet."""
        for channel in self._channels.values():
            channel.is_heard.set()
            channel.ring()

    def ring(self, name: str) -> None:
        """Make those who listen here look again, as if something had been published."""
        channel = self._channels.get(name.encode("utf-8", "surrogatepass"))
        if channel is not None:
            channel.ring()

    @asynccontextmanager
    async def listening(self, name: str, line: str = "") -> AsyncIterator[Listener]:
        """A listener on a channel; what is published once this is entered rings it, or one that has
        stood longer in its `line`."""
        raw = name.encode("utf-8", "surrogatepass")
        channel = self._channels.get(raw)
        if channel is None:
            channel = self._channels[raw] = Channel(asyncio.get_running_loop().time())
            if self._connection is not None:
                self._connection.tell("SUBSCRIBE", raw)
        if not channel.is_heard.is_set():  # while Redis is away: all are woken when it is back
            await until_set(channel.is_heard, CONFIRM_S)
        listener = Listener(line)
        channel.listeners[listener] = None
        try:
            yield listener
        finally:
            channel.leave(listener)
            channel.idle_since = asyncio.get_running_loop().time()

    def _take(self, message: Any) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        channel = self._channels.get(message[1]) if isinstance(message, list) else None
        if channel is None:
            return
        if message[0] == b"subscribe":
            channel.is_heard.set()
            channel.ring()
        elif message[0] == b"message":
            channel.tell()

    async def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                self._connection = connection = await self._client.new_connection(
                    on_push=self._take
                )
                pause_s = FIRST_PAUSE_S
                self._heard_at = asyncio.get_running_loop().time()
                if self._channels:
                    connection.tell("SUBSCRIBE", *self._channels)
                await connection.lost.wait()
                self._connection = None
                for channel in self._channels.values():
                    channel.is_heard.clear()
                await connection.close()
                await asyncio.sleep(FIRST_PAUSE_S)
            except (RedisError, ConnectionLost, OSError) as error:
                _log.debug("cannot listen to Redis: %s", plain_words(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _tend(self) -> None:
        """Leave channels that nobody listens to, and see that the connection lives."""
        while True:
            await asyncio.sleep(TEND_S)
            now, connection = asyncio.get_running_loop().time(), self._connection
            if connection is None:
                continue
            if now - self._heard_at > SILENCE_S:
                connection.lost.set()
                continue
            connection.tell("PING")
            idle = [name for name, one in self._channels.items() if _is_idle(one, now)]
            for name in idle:
                del self._channels[name]
            if idle:
                connection.tell("UNSUBSCRIBE", *idle)


def _is_idle(channel: Channel, now: float) -> bool:
    return (
        not channel.listeners and channel.is_heard.is_set() and now - channel.idle_since > LINGER_S
    )
