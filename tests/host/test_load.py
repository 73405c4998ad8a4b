"""Load control over HTTP: full queues, estimates that come true, turns between clients."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from puppet import Caller, Puppet, caller_from, running_host, write_root

from host.instances.load import QueueLoad
from host.store.protocol import QueueStats
from host.store.rows.store import RowStore

RUN_S = 0.3
TELL = "/v1/text/tell"


@pytest.fixture
async def client(tmp_path: Path, session: aiohttp.ClientSession) -> AsyncIterator[Caller]:
    """Of a host whose queue takes 12."""
    async with running_host(write_root(tmp_path, {"MaxQueueLength": 12})) as host:
        await Puppet(session, host.url).poll(wait=0)
        yield Caller(session, host.url)


class SteadyModule:
    """Works at two commands at a time, each for RUN_S."""

    def __init__(self, client: Caller) -> None:
        self._puppet = Puppet(client.session, client.url)
        self._slots: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> SteadyModule:
        await self._puppet.tell_status(state="ready", slots=2)
        self._slots = [asyncio.create_task(self._work()) for _ in range(2)]
        return self

    async def _work(self) -> None:
        while True:
            work = await self._puppet.poll()
            if work is not None:
                await asyncio.sleep(RUN_S)
                await self._puppet.finish(work, 0, "done")

    async def __aexit__(self, *error: object) -> None:
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)


async def ended(client: Caller, command_id: str) -> dict[str, Any]:
    status = await client.status(command_id, wait=20)
    while status["state"] in ("queued", "running"):
        status = await client.status(command_id, wait=20)
    return status


def seconds_until(moment: str, since: float) -> float:
    return datetime.fromisoformat(moment).timestamp() - since


def is_within_a_factor_of_two(told_s: float, came_s: float) -> bool:
    """A poll's own time of a few hundredths is not what is measured."""
    return told_s / 2 - 0.06 <= came_s <= told_s * 2 + 0.06


async def accepted(client: Caller) -> None:
    """Return when the queue has taken one more."""
    while True:
        if (await client.call("POST", TELL, data={"prompt": "x"}))[0] == 200:
            return
        await asyncio.sleep(0.01)


async def test_estimated_starts_come_true(client: Caller) -> None:
    async with SteadyModule(client):
        for _ in range(3):  # what the estimates rest on
            await ended(client, await client.tell())
        ids = [await client.tell(str(n)) for n in range(10)]
        told: list[tuple[str, float, float]] = []
        for look in range(3):
            await asyncio.sleep(RUN_S * 0.4 * look)
            for one in ids:
                status = await client.status(one)
                if status["state"] == "queued":
                    told.append((one, time.time(), status["estimatedStartMs"] / 1000))
        assert len(told) >= 8
        for one, at, told_s in told:
            came_s = seconds_until((await ended(client, one))["startedAt"], at)
            assert is_within_a_factor_of_two(told_s, came_s), (told_s, came_s)


async def test_a_full_queue_says_when_a_place_will_be_free(client: Caller) -> None:
    async with SteadyModule(client):
        for _ in range(3):
            await ended(client, await client.tell())
        waits = 0
        deadline = time.time() + 10
        while waits < 3 and time.time() < deadline:
            asked_at = time.time()
            async with client.session.post(client.url + TELL, data={"prompt": "x"}) as response:
                body = await response.json()
            if response.status == 200:
                continue
            assert response.status == 429 and time.time() - asked_at < 0.05
            assert response.headers["Retry-After"] == "1"  # whole seconds, and at least one
            told_s = body["retryAfterMs"] / 1000
            assert "takes no more" in body["error"]
            await accepted(client)
            assert is_within_a_factor_of_two(told_s, time.time() - asked_at)
            waits += 1
        assert waits == 3


async def test_before_anything_has_ended_nothing_is_promised(client: Caller) -> None:
    ids = [await client.tell() for _ in range(12)]
    status = await client.status(ids[-1])
    assert (status["queuePosition"], status["estimatedStartMs"]) == (12, None)
    code, body = await client.call("POST", TELL, data={"prompt": "x"})
    assert (code, body["code"], body["retryAfterMs"]) == (429, 429, None)
    assert "12 commands waiting" in body["error"]
    await client.cancel(ids[0])
    await client.tell()  # there is a place again


async def test_running_and_ended_commands_have_no_estimate(client: Caller) -> None:
    puppet = Puppet(client.session, client.url)
    command_id = await client.tell()
    work = await puppet.take()
    assert "estimatedStartMs" not in await client.status(command_id)
    await puppet.finish(work, 0, "done")
    assert "estimatedStartMs" not in await client.status(command_id)


async def test_another_client_does_not_wait_behind_a_hundred(client: Caller) -> None:
    for n in range(10):
        await client.post(TELL, {"prompt": str(n)}, headers={"Authorization": f"Bearer {n}"})
    async with caller_from("127.0.0.2", client.url) as other:
        assert (await other.post(TELL, {"prompt": "x"}))["queuePosition"] <= 2


def load(mean_run_s: float, slots: int, left_s: tuple[float, ...], age_s: float) -> QueueLoad:
    stats = QueueStats("q", waiting=1, running=len(left_s), mean_run_s=mean_run_s)
    return QueueLoad(stats, slots, left_s, 0.0, time.monotonic() - age_s, served=0)


def test_a_slot_that_is_free_stays_free() -> None:
    assert load(2.5, slots=2, left_s=(2.0,), age_s=0.14).wait_s(1) == 0.0
    assert load(2.5, slots=1, left_s=(), age_s=0.14).wait_s(1) == 0.0


def test_a_slot_that_is_over_its_time_is_filled_again() -> None:
    late = load(2.0, slots=1, left_s=(0.5,), age_s=1.0)
    assert late.wait_s(1) == 0.0, "it may end any moment"
    over = load(2.0, slots=1, left_s=(0.5,), age_s=2.0)
    assert over.wait_s(1) == pytest.approx(0.5, abs=0.1)
    two = load(2.0, slots=2, left_s=(1.5,), age_s=0.0)
    waits = [two.wait_s(position) for position in (1, 2, 3)]
    assert waits == [0.0, pytest.approx(1.5, abs=0.1), 2.0]


async def test_on_an_idle_host_a_command_is_told_that_it_starts_now(client: Caller) -> None:
    puppet = Puppet(client.session, client.url)
    await puppet.tell_status(state="ready", slots=1)
    first = await client.tell()
    work = await puppet.take()
    await client.status(first, wait=0.6)  # so long it runs
    await puppet.finish(work, 0, "done")
    await client.call("GET", "/v1/stats")  # the load is known from now on
    await client.status(first, wait=0.1)
    await asyncio.sleep(RUN_S / 2)  # and is a while old when the next one comes
    reply = await client.post(TELL, {"prompt": "next"})
    assert (reply["queuePosition"], reply["estimatedStartMs"]) == (1, 0)
    await puppet.take()
    second = await client.post(TELL, {"prompt": "and the next"})
    assert second["estimatedStartMs"] > 100, "the slot is taken"


async def test_a_queues_load_is_looked_at_without_reading_texts(
    client: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    puppet = Puppet(client.session, client.url)
    await puppet.tell_status(state="ready", slots=2)
    await client.tell()
    await puppet.progress(await puppet.take(), 0, "text")
    waiting = await client.tell()

    async def refused(*args: Any) -> None:
        raise AssertionError("the load asked for whole commands")

    monkeypatch.setattr(RowStore, "running", refused)
    assert (await client.status(waiting))["queuePosition"] == 1
    _, stats = await client.call("GET", "/v1/stats")
    assert stats["queues"][0]["running"] == 1
    assert stats["modules"][0]["instances"][0]["busy"] == 1
