"""What becomes of commands when Redis restarts, or an answer of it gets lost on the way."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from cutting_proxy import CuttingProxy
from redis_server import PROGRAMS, RedisServer, redis_server, self_signed
from store_suite import QUEUE, new

from host.commands import CancelAnswer, Command, CommandError, Outcome, State
from host.store.protocol import StoreUnavailable
from host.store.redis import RedisConnections, RedisStore, connection
from host.store.redis.scripts import script

T = TypeVar("T")


@pytest.fixture(params=PROGRAMS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis", program=request.param) as running:
        yield running


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    made = RedisStore(RedisConnections(server.url))
    await made.open()
    yield made
    await made.close()


async def restart(server: RedisServer) -> None:
    """Killed in the middle of what it does, and started again."""
    server.kill()
    await asyncio.to_thread(server.start)


async def claimed(store: RedisStore) -> Command:
    command = await store.claim(QUEUE, "worker", wait_s=0)
    assert command is not None
    return command


async def test_everything_is_there_after_a_restart(server: RedisServer, store: RedisStore) -> None:
    running = await store.create(new())
    work = await claimed(store)
    await store.append(work.id, work.attempt or "", 0, "half ", {"n": 1})
    waiting = await store.create(new(key="k"))
    await restart(server)
    assert (await store.create(new(key="k"))).id == waiting.id
    assert await store.append(work.id, work.attempt or "", 5, "whole", {}) == 10
    ended = await store.finish(running.id, work.attempt, Outcome.of({"success": True}))
    assert (ended.text, ended.fields) == ("half whole", {"n": 1})
    assert await store.position(waiting.id) == 1


async def test_waiters_survive_a_restart(server: RedisServer, store: RedisStore) -> None:
    made = await store.create(new())
    work = await claimed(store)
    reader = asyncio.create_task(store.wait(made.id, work.version, 30))
    claimer = asyncio.create_task(store.claim(QUEUE, "worker", wait_s=30))
    await asyncio.sleep(0.05)
    await restart(server)
    await store.append(made.id, work.attempt or "", 0, "x", {})
    other = await store.create(new())
    found, taken = await reader, await claimer
    assert found is not None and found.text == "x"
    assert taken is not None and taken.id == other.id


async def test_work_goes_on_over_restarts(server: RedisServer, store: RedisStore) -> None:
    """Every command ends once, with its whole text, whatever was being said in that moment."""
    count, ends = 60, list[str]()

    async def client() -> list[str]:
        ids = []
        for n in range(count):
            ids.append((await until_done(partial(store.create, new(key=f"key {n}")))).id)
            await asyncio.sleep(0.01)
        return ids

    async def module(name: str) -> None:
        while len(ends) < count:
            work = await until_done(partial(store.claim, QUEUE, name, wait_s=0.2))
            if work is None:
                continue
            attempt = work.attempt or ""
            for offset, letter in enumerate("text"):
                await until_done(partial(store.append, work.id, attempt, offset, letter, {}))
            outcome = Outcome.of({"success": True})
            await until_done(partial(store.finish, work.id, attempt, outcome))
            ends.append(work.id)

    modules = [asyncio.create_task(module(f"worker {n}")) for n in range(4)]
    starting = asyncio.create_task(client())
    for _ in range(3):
        await asyncio.sleep(0.2)
        await restart(server)
    ids = await starting
    await asyncio.gather(*modules)
    assert sorted(ids) == sorted(ends)
    found = [await store.read(one) for one in ids]
    assert all(c is not None and c.state is State.COMPLETED and c.text == "text" for c in found)
    assert {c.attempts for c in found if c} == {1}


async def until_done(operation: Callable[[], Awaitable[T]]) -> T:
    """As a module's or a client's retry does it."""
    while True:
        try:
            return await operation()
        except StoreUnavailable:
            await asyncio.sleep(0.05)


async def test_an_absent_redis_is_said_in_plain_words(tmp_path: Path) -> None:
    url = "redis://user:secret@127.0.0.1:1/0"
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1.*is it running") as caught:
        await RedisStore(RedisConnections(url)).open()
    assert "secret" not in str(caught.value)


async def test_a_redis_that_goes_is_said_and_comes_back(server: RedisServer) -> None:
    store = RedisStore(RedisConnections(server.url, patience_s=0.2))
    await store.open()
    made = await store.create(new())
    server.kill()
    with pytest.raises(StoreUnavailable, match=r"Redis at redis://127"):
        await store.read(made.id)
    with pytest.raises(StoreUnavailable):
        await store.wait(made.id, made.version, 0.1)
    server.start()
    found = await until_done(partial(store.read, made.id))
    assert found is not None and found.id == made.id
    await store.close()


async def test_leases_begin_anew_when_redis_is_back(server: RedisServer) -> None:
    store = RedisStore(RedisConnections(server.url), first_lease_s=30)
    await store.open()
    await store.create(new())
    await claimed(store)
    await store.renew("worker", 0.01)
    await restart(server)
    assert await store.lapsed() == []
    await store.close()


async def test_leases_begin_anew_when_nobody_could_renew(server: RedisServer) -> None:
    store = RedisStore(RedisConnections(server.url), first_lease_s=30)
    await store.open()
    await store.create(new())
    await claimed(store)
    assert await store.lapsed() == []
    await store.renew("worker", -1)
    assert await store.lapsed() == ["worker"]
    await forget_sweeps(store)
    assert await store.lapsed() == []
    await store.close()


async def forget_sweeps(store: RedisStore) -> None:
    """As if no host had asked who has lapsed for a minute."""
    other = await store._connections.client.new_connection()
    key = f"{store._connections.client.prefix}swept"
    asked = float(await other.ask("GET", key))
    await other.ask("SET", key, asked - 60)
    await other.close()


async def test_a_host_that_connects_again_lengthens_no_lease(server: RedisServer) -> None:
    store, other = [RedisStore(RedisConnections(server.url), first_lease_s=30) for _ in range(2)]
    await store.open()
    await store.create(new())
    await claimed(store)
    assert await store.lapsed() == []
    await store.renew("worker", -1)
    await other.open()
    broken = other._connections.client._connection
    assert broken is not None
    broken.lost.set()
    await until_done(partial(other.stats, QUEUE))  # over the next line
    assert other._connections.client._connection is not broken
    assert await other.lapsed() == ["worker"] == await store.lapsed()
    await other.close()
    await store.close()


async def test_a_password_is_asked_for(tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis", "--requirepass", "open sesame") as server:
        with pytest.raises(StoreUnavailable, match=r"Server\.Store"):
            await RedisStore(RedisConnections(server.url)).open()
        wrong = server.url.replace("//", "//:sesame@")
        with pytest.raises(StoreUnavailable, match="does not let this host in") as caught:
            await RedisStore(RedisConnections(wrong)).open()
        assert "sesame" not in str(caught.value)
        store = RedisStore(RedisConnections(server.url.replace("//", "//:open%20sesame@")))
        await store.open()
        assert (await store.create(new())).state is State.QUEUED
        await store.close()


async def test_a_socket_serves_too(tmp_path: Path) -> None:
    socket = tmp_path / "r.sock"
    with redis_server(tmp_path / "redis", "--unixsocket", str(socket)):
        store = RedisStore(RedisConnections(f"unix://{socket}"))
        await store.open()
        assert (await store.create(new())).state is State.QUEUED
        await store.close()


async def test_tls_by_url(tmp_path: Path) -> None:
    key, certificate = self_signed(tmp_path)
    port = RedisServer(tmp_path / "other").port
    options = ["--tls-port", str(port), "--tls-auth-clients", "no"]
    options += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    with redis_server(tmp_path / "redis", *options):
        url = f"rediss://127.0.0.1:{port}/0"
        with pytest.raises(StoreUnavailable, match="certificate"):
            await RedisStore(RedisConnections(url)).open()
        store = RedisStore(RedisConnections(f"{url}?ssl_ca_certs={certificate}"))
        await store.open()
        assert (await store.create(new())).state is State.QUEUED
        await store.close()


@pytest.fixture
async def impatient(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RedisStore]:
    """It waits a fifteenth as long for an answer, and for Redis to come back."""
    monkeypatch.setattr(connection, "SILENCE_S", 0.3)
    made = RedisStore(RedisConnections(server.url, patience_s=0.2))
    await made.open()
    yield made
    await made.close()


async def test_a_frozen_redis_is_noticed(server: RedisServer, impatient: RedisStore) -> None:
    store = impatient
    made = await store.create(new())
    server.pause()
    with pytest.raises(StoreUnavailable, match="no answer within"):
        await store.read(made.id)
    server.go_on()
    found = await until_done(partial(store.read, made.id))
    assert found is not None and found.id == made.id


async def test_a_frozen_redis_is_noticed_while_others_go_on_asking(
    server: RedisServer, impatient: RedisStore
) -> None:
    store = impatient
    made = await store.create(new())
    server.pause()
    first = asyncio.create_task(store.read(made.id))
    others = []
    while not first.done():
        others.append(asyncio.create_task(store.position(made.id)))
        await asyncio.wait((first,), timeout=0.02)
    assert isinstance(first.exception(), StoreUnavailable)
    server.go_on()
    await asyncio.gather(*others, return_exceptions=True)
    found = await until_done(partial(store.read, made.id))
    assert found is not None and found.id == made.id


async def test_what_would_lose_commands_is_said(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    store = RedisStore(RedisConnections(server.url))
    await store.open()
    await set_option(store, "appendonly", "no")
    await set_option(store, "maxmemory-policy", "allkeys-lru")
    await store.close()
    await (again := RedisStore(RedisConnections(server.url))).open()
    await again.close()
    assert "appendonly" in caplog.text and "noeviction" in caplog.text


async def test_a_full_memory_is_said(server: RedisServer, store: RedisStore) -> None:
    await set_option(store, "maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="maxmemory"):
        await store.create(new())
    other = RedisStore(RedisConnections(server.url))
    await other.open()  # what is there can still be read
    assert await other.queued(QUEUE) == []
    await other.close()
    await set_option(store, "maxmemory", "0")
    await store.create(new())
    assert len(await store.queued(QUEUE)) == 1


async def set_option(store: RedisStore, name: str, value: str) -> None:
    line = await store._connections.client.new_connection()
    await line.ask("CONFIG", "SET", name, value)
    await line.close()


async def test_flushed_scripts_are_sent_again(store: RedisStore) -> None:
    made = await store.create(new())
    line = await store._connections.client.new_connection()
    await line.ask("SCRIPT", "FLUSH")
    await line.close()
    assert await store.position(made.id) == 1


class TestLostAnswers:
    """Redis did what was asked, and the answer never came: the retry knows it."""

    @pytest.fixture
    async def proxy(self, server: RedisServer) -> AsyncIterator[CuttingProxy]:
        made = CuttingProxy(server.url)
        await made.open()
        yield made
        await made.close()

    @pytest.fixture
    async def store(self, proxy: CuttingProxy) -> AsyncIterator[RedisStore]:
        made = RedisStore(RedisConnections(proxy.url, namespace=secrets.token_hex(4)))
        await made.open()
        await made.create(new())
        line = await made._connections.client.new_connection()
        for name in ("claim", "append", "finish", "requeue", "delete"):  # Redis knows them all
            await line.ask("SCRIPT", "LOAD", script(name).source)
        await line.close()
        yield made
        await made.close()

    @pytest.fixture
    async def cut(self, proxy: CuttingProxy) -> AsyncIterator[CuttingProxy]:
        yield proxy
        assert proxy.cuts == 1

    def arm(self, cut: CuttingProxy, name: str) -> None:
        cut.cut_next_answer(script(name).sha)

    async def test_create(self, cut: CuttingProxy, store: RedisStore) -> None:
        self.arm(cut, "create")
        made = await store.create(new())
        assert [c.id for c in await store.queued(QUEUE)][1:] == [made.id]

    async def test_claim(self, cut: CuttingProxy, store: RedisStore) -> None:
        await store.create(new())
        self.arm(cut, "claim")
        work = await claimed(store)
        assert [c.id for c in await store.running("worker")] == [work.id]
        assert len(await store.queued(QUEUE)) == 1

    async def test_append(self, cut: CuttingProxy, store: RedisStore) -> None:
        work = await claimed(store)
        self.arm(cut, "append")
        assert await store.append(work.id, work.attempt or "", 0, "中x", {}) == 2
        found = await store.read(work.id)
        assert found is not None and found.text == "中x"

    async def test_finish(self, cut: CuttingProxy, store: RedisStore) -> None:
        work = await claimed(store)
        self.arm(cut, "finish")
        ended = await store.finish(work.id, work.attempt, Outcome.of({"success": True}))
        assert ended.state is State.COMPLETED
        assert (await store.stats(QUEUE)).completed == 1
        with pytest.raises(CommandError):
            await store.finish(work.id, work.attempt, Outcome.failed("late"))

    async def test_requeue(self, cut: CuttingProxy, store: RedisStore) -> None:
        work = await claimed(store)
        self.arm(cut, "requeue")
        assert (await store.requeue(work.id, work.attempt or "")).state is State.QUEUED
        assert len(await store.queued(QUEUE)) == 1

    async def test_cancel_and_delete(self, cut: CuttingProxy, store: RedisStore) -> None:
        (waiting,) = await store.queued(QUEUE)
        assert await store.cancel(waiting.id) is CancelAnswer.CANCELLED
        self.arm(cut, "delete")
        assert await store.delete(waiting.id)
        assert not await store.delete(waiting.id)
