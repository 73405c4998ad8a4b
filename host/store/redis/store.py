"""Commands on a Redis that any number of hosts share.

Invariants: every operation is one script, so it is whole or has not happened; each is safe to try
again after its answer got lost (client.py); nothing a host remembers decides anything.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from host.channels import REPLY
from host.commands import (
    CancelAnswer,
    Command,
    CommandError,
    IllegalMove,
    NewCommand,
    Outcome,
    StaleAttempt,
    State,
    UnknownCommand,
)
from host.json_pieces import json_pieces
from host.store.protocol import (
    Append,
    Busy,
    Overdue,
    QueueFull,
    QueueStats,
    Reported,
    StoreUnavailable,
)
from host.store.redis.big_values import BigValues
from host.store.redis.bound import MemoryBound
from host.store.redis.claims import RedisClaims, Wanted
from host.store.redis.connection import Argument, Connection
from host.store.redis.connections import RedisConnections
from host.store.redis.records import NOTHING, Known, Records, fixed_of
from host.store.redis.shared_reads import SharedReads
from host.store.redis.waiting import Waiting
from host.store.shares import PLACES_FOR_ANYBODY

JUMP_S = 30.0  # a clock of Redis that is further from what it should say was set
FIRST_LEASE_S = 45.0  # until the first renewal: as long as a module of any protocol may be silent
STALLED_S = 2.0  # a host asks every second who has lapsed
PATIENCE_S = 120.0  # with one that stands still and is connected; one that is lost may look so too
AGAIN_S = 2.0  # for one that connects again
AWAY_S = 5.0  # where no host asked who has lapsed for this long, Redis was away, or all hosts were
BATCH = 100


class RedisStore:
    """The store that hosts share. `keep_s`: how long ended commands stay readable; the oldest leave
    earlier when Redis uses more than `max_bytes`, or nine tenths of its own maxmemory.

    `max_queue_length` holds for commands that name no limit; None: there is none.
    """

    is_kept = True
    is_shared = True

    def __init__(
        self,
        connections: RedisConnections,
        *,
        keep_s: float = 24 * 3600,
        max_bytes: float | None = None,
        max_queue_length: int | None = None,
        first_lease_s: float = FIRST_LEASE_S,
    ) -> None:
        self._connections = connections
        self._client = connections.client
        self._big_values = BigValues(connections.big_values)
        self._subscriber = connections.subscriber
        self._keep_s = max(1, round(keep_s))
        self._bound = MemoryBound(connections.client, max_bytes, self._keep_s)
        self._max_queue_length = max_queue_length
        self._first_lease_s = first_lease_s
        self._records = Records()
        self._claims = RedisClaims(connections, self._records, first_lease_s, self._give_back)
        self._reads = SharedReads(self._read)
        self._held: dict[str, list[str]] = {}  # by worker, as last seen: what to name as known
        self._clock: tuple[float, float] | None = (
            None  # Redis' time, and this host's when it said it
        )
        self._is_closed = False
        self._host = secrets.token_hex(8)
        self._presence: asyncio.Task[None] | None = None
        self._client.add_greeting(self._greet)

    async def open(self) -> None:
        """Connect. Raises StoreUnavailable."""
        await self._connections.open()
        self._bound.open()
        self._presence = asyncio.create_task(self._be_present())

    async def _be_present(self) -> None:
        """Listen where other hosts look whether this one is connected."""
        async with self._subscriber.listening(self._connections.channel("sweeper", self._host)):
            await asyncio.Event().wait()

    async def _greet(self, connection: Connection) -> None:
        """What is remembered may be newer than what a server kept whose machine went down."""
        self._records.clear()

    async def create(self, new: NewCommand) -> Command:
        command = Command.create(new)
        payload = dict(new.payload)
        files = payload.pop("files", None)
        length = new.max_queue_length
        if length is None:
            length = self._max_queue_length
        values: list[bytes | str] = [b"", b""]
        trouble = self._bound.trouble
        if not trouble:
            values = [
                await self._big_values.sent("payload", command.id, json_pieces(payload)),
                await self._big_values.sent(
                    "files", command.id, json_pieces(files) if files else ()
                ),
            ]
        answer = await self._client.call(
            "create",
            command.id,
            fixed_of(command),
            new.queue,
            new.module_id,
            new.name,
            new.client,
            {True: "1", False: "0", None: ""}[new.is_long],
            new.idempotency_key or "",
            "" if length is None else length,
            _optional(new.max_wait_s),
            _optional(new.max_run_s),
            "1" if trouble else "",
            *values,
            PLACES_FOR_ANYBODY,
        )
        if answer[0] == b"beyond":
            raise StoreUnavailable(trouble)
        if answer[0] == b"lost":
            raise StoreUnavailable("what was uploaded left Redis before its command was made")
        if answer[0] == b"full":
            raise QueueFull(new.queue, answer[1])
        if answer[0] == b"share":
            raise QueueFull(new.queue, answer[1], answer[2])
        if answer[0] == b"old":
            return self._shown(answer[1].decode(), answer[2:])
        command.turn, command.number = float(answer[1]), answer[2]
        command.created_at = float(answer[3])
        return command

    async def claim(
        self, queue: str, worker: str, *, wait_s: float, is_long_allowed: bool = True
    ) -> Command | None:
        return await self._claims.claim(Wanted(queue, worker, is_long_allowed), wait_s)

    async def append(
        self,
        command_id: str,
        attempt: str,
        offset: int,
        text: str,
        fields: Mapping[str, Any],
        channel: str = REPLY,
    ) -> int:
        append = Append(command_id, attempt, offset, text, fields, channel)
        found = (await self.report("", [append])).found[0]
        if isinstance(found, CommandError):
            raise found
        return found

    async def report(self, worker: str, appends: Sequence[Append]) -> Reported:
        told = [one for append in appends for one in _told(append)]
        answers, to_stop = await self._client.call("append", worker, *told)
        pairs = zip(appends, answers, strict=True)
        found = [_wrong(append.command_id, answer) or int(answer) for append, answer in pairs]
        return Reported(found, _texts(to_stop))

    async def finish(self, command_id: str, attempt: str | None, outcome: Outcome) -> Command:
        return await self._finish(command_id, attempt, outcome, "")

    async def _finish(
        self, command_id: str, attempt: str | None, outcome: Outcome, for_wish: str
    ) -> Command:
        known = self._records.known(command_id)
        reply = outcome.result.get("reply")
        has_reply = isinstance(reply, str)
        answer = await self._client.call(
            "finish",
            command_id,
            attempt or "",
            outcome.state.value,
            json.dumps(outcome.result, default=str),
            str(reply).encode("utf-8", "surrogatepass") if has_reply else b"",
            len(str(reply)) if has_reply else "",
            for_wish,
            self._keep_s,
            secrets.token_hex(8),
            known.version,
            known.place,
        )
        _raise_wrong(command_id, answer)
        if answer[0] == b"wish":
            wish = answer[1].decode()
            return await self._finish(command_id, attempt, outcome.as_wished(wish), wish)
        return self._shown(command_id, answer, known)

    async def requeue(self, command_id: str, attempt: str, error: str | None = None) -> Command:
        known = self._records.known(command_id)
        answer = await self._client.call(
            "requeue",
            command_id,
            attempt,
            "" if error is None else json.dumps(error),
            json.dumps(Outcome.cancelled().result),
            self._keep_s,
            known.version,
            known.place,
        )
        _raise_wrong(command_id, answer)
        return self._shown(command_id, answer, known)

    async def _give_back(self, command: Command) -> None:
        await self.requeue(command.id, command.attempt or "")

    async def adopt(self, command_id: str) -> None:
        if not await self._client.call("adopt", command_id):
            raise UnknownCommand(command_id)

    async def cancel(self, command_id: str, wish: str = "cancelled") -> CancelAnswer:
        result = json.dumps(Outcome.cancelled().result)
        answer = await self._client.call("cancel", command_id, wish, result, self._keep_s)
        return CancelAnswer(answer.decode())

    async def read(self, command_id: str) -> Command | None:
        return await self._reads.read(command_id)

    async def _read(self, command_id: str) -> Command | None:
        known = self._records.known(command_id)
        view = await self._client.call("read", command_id, known.version, known.place)
        return self._records.read(command_id, view, known)

    async def position(self, command_id: str) -> int:
        return int(await self._client.call("position", command_id))

    async def delete(self, command_id: str) -> bool:
        is_gone = bool(await self._client.call("delete", command_id))
        if is_gone:
            self._records.forget(command_id)
        return is_gone

    async def wait(self, command_id: str, version: int, timeout_s: float) -> Command | None:
        async with self._subscriber.listening(
            self._connections.channel("c", command_id)
        ) as listener:
            waiting = Waiting(listener, timeout_s)
            while not self._is_closed:
                try:
                    command = await self.read(command_id)
                except StoreUnavailable:
                    if not await waiting.has_paused():
                        raise
                    continue
                if command is None or command.version > version or not await waiting.has_rung():
                    return command
        return self._records.known(command_id).command

    async def queued(self, queue: str) -> list[Command]:
        return await self._all(await self._client.call("queued", queue))

    async def overdue(self) -> list[Overdue]:
        answer = await self._client.call("overdue")
        over_s = dict(zip((one.decode() for one in answer[::2]), answer[1::2], strict=True))
        return [Overdue(one, float(over_s[one.id])) for one in await self._all(answer[::2])]

    async def _all(self, ids: list[bytes]) -> list[Command]:
        found = []
        for start in range(0, len(ids), BATCH):
            names = [one.decode() for one in ids[start : start + BATCH]]
            views = await self._client.call("views", *names)
            found += [self._records.read(*one) for one in zip(names, views, strict=True)]
        return [one for one in found if one is not None]

    async def running(self, worker: str) -> list[Command]:
        known = {one: self._records.known(one) for one in self._held.get(worker, ())}
        told = [x for name, one in known.items() for x in (name, one.version, one.place)]
        answer = await self._client.call("running", worker, *told)
        found = []
        for raw, view in zip(answer[::2], answer[1::2], strict=True):
            command = self._records.read(raw.decode(), view, known.get(raw.decode(), NOTHING))
            if command is not None:
                found.append(command)
        self._held.pop(worker, None)
        if found:
            self._held[worker] = [command.id for command in found]
        return found

    async def busy(self, *workers: str) -> list[Busy]:
        answer = await self._client.call("busy", *workers)
        rows = zip(_texts(answer[::3]), _texts(answer[1::3]), answer[2::3], strict=True)
        return [Busy(command_id, queue, float(run_s)) for command_id, queue, run_s in rows]

    async def workers(self) -> list[str]:
        return _texts(await self._client.call("holders"))

    async def renew(self, worker: str, lease_s: float) -> None:
        await self._client.call("renew", worker, lease_s, self._host)

    async def lapsed(self) -> list[str]:
        now = time.monotonic()
        expected = "" if self._clock is None else self._clock[0] + now - self._clock[1]
        terms = (AWAY_S, self._first_lease_s, JUMP_S)
        more = (STALLED_S, PATIENCE_S, AGAIN_S)
        said, *workers = await self._client.call("lapsed", *terms, expected, self._host, *more)
        self._clock = float(said), now
        return _texts(workers)

    async def stats(self, queue: str) -> QueueStats:
        found = await self._client.call("stats", queue)
        ends, since_s = found[6], float(found[7] or 0)
        return QueueStats(
            queue=queue,
            waiting=found[0],
            running=found[1],
            completed=int(found[2] or 0),
            cancelled=int(found[3] or 0),
            failed=int(found[4] or 0),
            mean_run_s=float(found[5]) if found[5] else None,
            ended_per_s=(ends - 1) / max(1e-3, since_s) if ends >= 2 else 0.0,
        )

    async def close(self) -> None:
        self._is_closed = self._claims.is_closed = True
        await self._bound.close()
        if self._presence is not None:
            self._presence.cancel()
            await asyncio.gather(self._presence, return_exceptions=True)
        self._subscriber.ring_all()
        await self._connections.close()

    def _shown(self, command_id: str, view: list[Any], known: Known = NOTHING) -> Command:
        command = self._records.read(command_id, view, known)
        if command is None:
            raise UnknownCommand(command_id)
        return command


def _told(append: Append) -> list[Argument]:
    """An append as append.lua takes it."""
    raw = append.text.encode("utf-8", "surrogatepass")
    pairs = [json.dumps(one) for pair in append.fields.items() for one in pair]
    command: list[Argument] = [append.command_id, append.attempt, append.offset, raw]
    return [*command, len(append.text), append.channel, len(append.fields), *pairs]


def _wrong(command_id: str, answer: Any) -> CommandError | None:
    if answer == b"unknown":
        return UnknownCommand(command_id)
    if answer == b"stale":
        return StaleAttempt(command_id)
    if answer == b"illegal":
        return IllegalMove(command_id, State.RUNNING, State.QUEUED)
    return None


def _raise_wrong(command_id: str, answer: Any) -> None:
    wrong = _wrong(command_id, answer)
    if wrong is not None:
        raise wrong


def _optional(seconds: float | None) -> float | str:
    return "" if seconds is None else seconds


def _texts(raw: list[bytes]) -> list[str]:
    return [one.decode("utf-8", "surrogatepass") for one in raw]
