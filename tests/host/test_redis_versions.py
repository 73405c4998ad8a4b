"""Hosts of several versions on one Redis: an upgrade ends none of the commands.

`old_stores/redis-1` has the scripts of the version whose records had no format yet (format 1).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis_server import RedisServer
from store_suite import QUEUE, new

from host.commands import CancelAnswer, Command, Outcome, State
from host.store.protocol import StoreUnavailable
from host.store.redis import RedisConnections, RedisStore
from host.store.redis.connection import Argument

OLD_SCRIPTS = Path(__file__).parent / "old_stores" / "redis-1"
FILE = {"name": "f", "data": "VVBMT0FE"}


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    made = RedisStore(RedisConnections(server.url, namespace=secrets.token_hex(8)))
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def old(store: RedisStore) -> OldHost:
    return OldHost(store)


class OldHost:
    """A host of format 1 in the namespace of `store`, as far as it is its scripts."""

    def __init__(self, store: RedisStore) -> None:
        self._link = store._connections.client

    async def ask(self, *command: Argument) -> Any:
        line = await self._link.new_connection()
        try:
            return await line.ask(*command)
        finally:
            await line.close()

    async def run(self, name: str, *arguments: Argument) -> Any:
        parts = [(OLD_SCRIPTS / f"{one}.lua").read_text() for one in ("common", name)]
        return await self.ask("EVAL", "\n".join(parts), 0, self._link.prefix, "0", *arguments)

    async def create(self, command_id: str, key: str = "") -> None:
        asked = json.dumps({**new().payload, "files": []})
        limits = (key, "", 60, 120.5)
        await self.run(
            *("create", command_id, QUEUE, "Chat", "prompt", "ann", "1", *limits),
            *(asked, json.dumps([FILE])),
        )

    async def claim(self) -> str:
        """Its id."""
        found = await self.run("claim", QUEUE, "old worker", "old attempt", "1", 45)
        assert len(found) == 3 + 26 and None not in found[-10:]  # all that it reads is there
        return str(found[0].decode())


def said_of(command: Command | None) -> dict[str, Any]:
    assert command is not None
    names = ("module_id", "queue", "name", "client", "idempotency_key", "max_wait_s", "max_run_s")
    return {name: getattr(command, name) for name in names}


SAID = {"module_id": "Chat", "queue": QUEUE, "name": "prompt", "client": "ann"}
SAID_OLD = {**SAID, "idempotency_key": "k", "max_wait_s": 60.0, "max_run_s": 120.5}


async def test_what_an_earlier_version_wrote_is_read_claimed_and_ended(
    store: RedisStore, old: OldHost
) -> None:
    for command_id, key in (("first", ""), ("second", "k"), ("third", "")):
        await old.create(command_id, key)
    assert await old.claim() == "first"
    await old.run("append", "first", "old attempt", 0, "half ", 5, "reply", '"n"', "1")
    running = await store.read("first")
    assert running is not None and (running.text, running.fields) == ("half ", {"n": 1})
    assert [one.id for one in await store.running("old worker")] == ["first"]
    assert await store.append("first", "old attempt", 5, "whole", {}) == 10
    ended = await store.finish("first", "old attempt", Outcome.of({"success": True}))
    assert (ended.text, ended.state, None not in (ended.started_at, ended.finished_at)) == (
        "half whole",
        State.COMPLETED,
        True,
    )

    assert said_of(await store.read("second")) == SAID_OLD
    assert (await store.create(new(key="k"))).id == "second"
    work = await store.claim(QUEUE, "worker", wait_s=0)
    assert work is not None and work.id == "second" and work.payload is not None
    assert work.payload["files"] == [FILE] and work.payload["values"] == new().payload["values"]
    assert (await store.requeue("second", work.attempt or "", "it fell")).attempts == 1
    assert [one.id for one in await store.queued(QUEUE)] == ["second", "third"]
    assert await store.cancel("second") is CancelAnswer.CANCELLED
    assert await store.delete("second") and (await store.create(new(key="k"))).id != "second"


async def test_an_earlier_host_goes_on_beside_this_one(store: RedisStore, old: OldHost) -> None:
    made = [await store.create(new(client="ann", max_run_s=60)) for _ in range(2)]
    assert await old.claim() == made[0].id
    await old.run("append", made[0].id, "old attempt", 0, "text", 4, "reply")
    ending = ("completed", '{"success": true}', "", "", "", 3600, "token", "", "0,0")
    await old.run("finish", made[0].id, "old attempt", *ending)
    found = await store.read(made[0].id)
    assert found is not None and (found.state, found.text) == (State.COMPLETED, "text")
    assert said_of(found)["client"] == "ann" and found.created_at == made[0].created_at
    assert await old.run("cancel", made[1].id, "cancelled", "{}", 3600) == b"cancelled"
    assert (await store.stats(QUEUE)).cancelled == 1


async def test_what_a_later_version_asks_for_is_refused_in_plain_words(
    server: RedisServer, store: RedisStore, old: OldHost
) -> None:
    made = await store.create(new())
    await old.ask("SET", f"{store._connections.client.prefix}format", 3)
    for asked in (store.claim(QUEUE, "worker", wait_s=0), store.read(made.id), store.create(new())):
        with pytest.raises(StoreUnavailable, match=r"a later version.*update this host"):
            await asked
    namespace = store._connections.client.prefix[1:-2]
    with pytest.raises(StoreUnavailable, match=r"a later version.*update this host"):
        await RedisStore(RedisConnections(server.url, namespace=namespace)).open()
    await old.ask("DEL", f"{store._connections.client.prefix}format")
    assert [one.id for one in await store.queued(QUEUE)] == [made.id]  # nothing was changed


async def test_a_record_of_a_later_format_is_not_misread(store: RedisStore, old: OldHost) -> None:
    made = await store.create(new())
    await old.ask("HSET", f"{store._connections.client.prefix}c:{made.id}", "format", 3)
    with pytest.raises(StoreUnavailable, match="format 3, and this host knows 2"):
        await store.read(made.id)


async def test_what_never_changes_is_one_value(store: RedisStore, old: OldHost) -> None:
    """Text that is no UTF-8 too, as a header may bring it."""
    said = {"client": "10.0.0.1 \udcff\n\x00", "max_wait_s": 60.0, "max_run_s": None}
    made = await store.create(new(key='k "\udcff', **said))
    raw = await old.ask("HGET", f"{store._connections.client.prefix}c:{made.id}", "fixed")
    assert {"module_id", "turn", "number", "created_at"} <= json.loads(
        raw.decode("utf-8", "surrogatepass")
    ).keys()
    found = await store.read(made.id)
    assert said_of(found) == {**SAID, **said, "idempotency_key": 'k "\udcff'}
    assert found is not None and found.created_at == made.created_at
    assert (found.turn, found.number) == (made.turn, made.number)
