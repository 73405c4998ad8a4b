"""One connection to Redis that many share: what is asked at the same time goes out in one write.

redis-py makes the connection (address, TLS, password) and reads its answers; what its client adds
to each call (a pool, locks, timers) costs more than the call, so answers are matched here: Redis
answers in the order it was asked. Invariant: after `lost` is set, nothing is written or read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from host.store.redis.errors import ConnectionLost

SILENCE_S = 5.0  # an answer that takes longer than this will not come any more
GOODBYE_S = 1.0
AT_ONCE_BYTES = 2**18  # so much must have gone out within that time

Argument: TypeAlias = str | bytes | int | float


class Connection:
    """Calls over one open connection; with `on_push`, messages that nobody asked for go there."""

    def __init__(
        self, connection: AbstractConnection, on_push: Callable[[Any], None] | None = None
    ) -> None:
        self._connection = connection
        self._on_push = on_push
        self._outgoing: list[bytes] = []
        self._has_outgoing = asyncio.Event()
        self._asked: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._moved_at = self._loop.time()  # when much last went out, or something came in
        self.lost = asyncio.Event()
        jobs = (self._write(), self._read(), self._watch())
        self._tasks = [asyncio.create_task(job) for job in jobs]

    def ask(self, *command: Argument) -> asyncio.Future[Any]:
        """Send a command; the future is its answer, an error of Redis, or ConnectionLost."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.lost.is_set():
            future.set_exception(ConnectionLost("the connection has ended"))
            return future
        self._outgoing.append(packed(command))
        self._asked.append((self._loop.time(), future))
        self._has_outgoing.set()
        return future

    def tell(self, *command: Argument) -> None:
        """Send a command whose answer comes to `on_push`."""
        self._outgoing.append(packed(command))
        self._has_outgoing.set()

    async def _write(self) -> None:
        try:
            while True:
                await self._has_outgoing.wait()
                self._has_outgoing.clear()
                data, self._outgoing = b"".join(self._outgoing), []
                for start in range(0, len(data), AT_ONCE_BYTES):
                    part = data[start : start + AT_ONCE_BYTES]
                    await self._connection.send_packed_command(part, check_health=False)
                    if len(data) > AT_ONCE_BYTES:  # a dead line too takes less than that
                        self._moved_at = self._loop.time()
        except (RedisError, OSError) as error:
            self._lose(error)

    async def _read(self) -> None:
        try:
            while True:
                answer = await self._next_answer()
                self._moved_at = self._loop.time()
                if self._on_push is not None:
                    self._on_push(answer)
                elif self._asked:
                    future = self._asked.popleft()[1]
                    if not future.done():  # whoever asked may have left
                        _settle(future, answer)
        except (RedisError, OSError) as error:
            self._lose(error)

    async def _next_answer(self) -> Any:
        try:
            return await self._connection.read_response(
                disable_decoding=True, disconnect_on_error=False
            )
        except ResponseError as error:  # all others end the connection
            return error

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(1)
            if not self._asked:
                continue
            if self._loop.time() - max(self._moved_at, self._asked[0][0]) > SILENCE_S:
                self._lose(ConnectionLost(f"no answer within {SILENCE_S:g} s"))

    def _lose(self, error: BaseException) -> None:
        self.lost.set()
        while self._asked:
            future = self._asked.popleft()[1]
            if not future.done():
                future.set_exception(
                    error if isinstance(error, ConnectionLost) else ConnectionLost(error)
                )

    async def close(self) -> None:
        """Hang up; what is still unanswered is lost."""
        was_lost = self.lost.is_set()
        self._lose(ConnectionLost("this host hung up"))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(
            RedisError, OSError, asyncio.TimeoutError
        ):  # TLS says goodbye to who is there
            await asyncio.wait_for(self._connection.disconnect(nowait=was_lost), GOODBYE_S)


def packed(command: tuple[Argument, ...]) -> bytes:
    """A command as it goes over the wire. Half a surrogate pair, which is no UTF-8, goes too."""
    pack: Callable[[Any], bytes] = hiredis.pack_command
    try:
        return pack(command)
    except UnicodeEncodeError:
        return pack(
            tuple(
                one.encode("utf-8", "surrogatepass") if isinstance(one, str) else one
                for one in command
            )
        )


def _settle(future: asyncio.Future[Any], answer: Any) -> None:
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
