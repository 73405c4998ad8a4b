"""A host's client of its Redis: one connection for calls, made again when it breaks.

Invariant: a script that is tried again says so (ARGV[2]), and each of them then knows its own work;
so an answer that got lost changes nothing twice and loses nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

from redis.asyncio import ConnectionPool
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError

from host.store.protocol import StoreUnavailable
from host.store.redis.connection import Argument, Connection
from host.store.redis.errors import ConnectionLost, is_away, plain_words, spoken_url
from host.store.redis.scripts import script
from host.wakeups import until_set

_log = logging.getLogger(__name__)

OLDEST_VERSION = 7
PATIENCE_S = 3.0  # how long a call waits for Redis to come back, counted from when it went
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0

_FAILURES = (RedisError, ConnectionLost, OSError, ValueError)

Greeting = Callable[[Connection], Awaitable[None]]


class RedisClient:
    """Calls scripts, over whatever connection there is. The constructor connects to nothing.

    `namespace` begins every key; its braces would keep a cluster's keys together, but a cluster is
    not promised.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "llamachat",
        patience_s: float = PATIENCE_S,
        is_talkative: bool = True,
    ) -> None:
        self._is_talkative = is_talkative
        self.prefix = f"{{{namespace}}}:"
        self.place = spoken_url(url)
        self._url = url
        self._patience_s = patience_s
        self._pool: ConnectionPool | None = None
        self._connection: Connection | None = None
        self._is_up = asyncio.Event()
        self._away_since: float | None = None
        self._trouble = "not connected yet"
        self._greetings: list[Greeting] = []
        self._keeper: asyncio.Task[None] | None = None

    def add_greeting(self, greeting: Greeting) -> None:
        """What is to be done on every new connection before anything else is called over it."""
        self._greetings.append(greeting)

    async def open(self, *, must_be_there: bool = True) -> None:
        """Connect, and stay connected until `close`. Raises StoreUnavailable.

        One that need not be there yet is waited for: calls are refused at once until it is. One
        that is there and cannot be used, as a password is wrong, is refused in any case.
        """
        try:
            await self._connect()
        except _FAILURES as error:
            if must_be_there or not is_away(error):
                raise self._unavailable(plain_words(error)) from error
            self._trouble = plain_words(error)
            self._away_since = asyncio.get_running_loop().time() - self._patience_s
            if self._is_talkative:
                _log.warning("Redis at %s is not there yet: %s", self.place, self._trouble)
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Hang up."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        self._go_down("this host has closed its store")
        if self._connection is not None:
            await self._connection.close()

    async def new_connection(self, on_push: Callable[[Any], None] | None = None) -> Connection:
        """One more, for whoever needs its own. Raises RedisError, OSError, ValueError."""
        if self._pool is None:
            self._pool = ConnectionPool.from_url(
                self._url, protocol=2, socket_timeout=None, socket_connect_timeout=5.0
            )
        connection = self._pool.connection_class(**self._pool.connection_kwargs)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:  # half of one would be left behind
            with suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)
            raise
        return Connection(connection, on_push)

    async def call(self, name: str, *arguments: Argument, is_retry: bool = False) -> Any:
        """What the script answers. Raises StoreUnavailable when Redis stays away, or is full.

        `is_retry` tells the script that it may have been carried out before.
        """
        code = script(name)
        gives_up = asyncio.get_running_loop().time() + self._patience_s
        while True:
            connection = await self._current_line()
            rest = ("0", self.prefix, "1" if is_retry else "0", *arguments)
            try:
                return await connection.ask("EVALSHA", code.sha, *rest)
            except NoScriptError:  # somebody flushed them
                with suppress(RedisError, ConnectionLost):
                    await connection.ask("SCRIPT", "LOAD", code.source)
            except (ConnectionLost, ReadOnlyError) as error:
                is_retry = True
                connection.lost.set()
                if asyncio.get_running_loop().time() > gives_up:
                    raise self._unavailable(plain_words(error)) from error
            except ResponseError as error:
                raise self._unavailable(plain_words(error)) from error

    async def _current_line(self) -> Connection:
        while self._connection is None or self._connection.lost.is_set():
            self._go_down("the connection has ended")
            since = self._away_since or 0.0
            left_s = since + self._patience_s - asyncio.get_running_loop().time()
            if left_s <= 0 or self._keeper is None:
                raise self._unavailable(self._trouble)
            await until_set(self._is_up, left_s)
        return self._connection

    def _unavailable(self, trouble: str) -> StoreUnavailable:
        return StoreUnavailable(f"Redis at {self.place}: {trouble}")

    def _go_down(self, trouble: str) -> None:
        if self._away_since is None:
            self._away_since = asyncio.get_running_loop().time()
            self._trouble = trouble
        self._is_up.clear()

    async def _keep(self) -> None:
        """Connect again whenever the connection is lost, pausing longer and longer."""
        pause_s = FIRST_PAUSE_S
        while True:
            if self._connection is not None and not self._connection.lost.is_set():
                pause_s = FIRST_PAUSE_S
                await self._connection.lost.wait()
                self._go_down("the connection has ended")
                await self._connection.close()
                await asyncio.sleep(FIRST_PAUSE_S)  # one that is refused at once must not spin
            try:
                await self._connect()
            except _FAILURES as error:
                self._go_down("")
                self._trouble = plain_words(error)
                _log.debug("Redis at %s: %s", self.place, self._trouble)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _connect(self) -> None:
        connection = await self.new_connection()
        try:
            self._check(await connection.ask("INFO", "server", "persistence", "memory"))
            await connection.ask("EVAL", script("formats").source, "0", self.prefix, "0")
            for greeting in self._greetings:
                await greeting(connection)
        except BaseException:
            await connection.close()
            raise
        self._connection = connection
        self._away_since = None
        self._is_up.set()

    def _check(self, info: bytes) -> None:
        """Refuse a server that is too old; say what would lose commands."""
        facts = dict(row.split(":", 1) for row in info.decode().splitlines() if ":" in row)
        version = facts.get("redis_version", "0")
        if int(version.split(".")[0]) < OLDEST_VERSION:
            raise ValueError(f"it is version {version}: expected {OLDEST_VERSION}.0 or later")
        for risk in _risks(facts) if self._connection is None and self._is_talkative else ():
            _log.warning("Redis at %s: %s", self.place, risk)


def _risks(facts: dict[str, str]) -> Iterator[str]:
    if facts.get("aof_enabled") == "0":
        yield "it has no append-only file (appendonly no): its restart loses commands"
    if facts.get("maxmemory_policy", "").startswith("allkeys"):
        yield (
            f"it evicts at its memory limit (maxmemory-policy {facts['maxmemory_policy']}), "
            "waiting commands too: set noeviction"
        )
