"""Workers that fall silent, and claims that never reached theirs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from puppet import Caller, Puppet, running_host, write_root

from host.app import Host
from host.work import endings, sweeper
from host.work.leases import LeaseTerms

SHORT = LeaseTerms(lease_s=0.4, part1_lease_s=0.4, renew_every_s=0.05)


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    monkeypatch.setattr(sweeper, "EVERY_S", 0.1)
    async with running_host(write_root(tmp_path), leases=SHORT) as running:
        yield running


async def test_a_silent_worker_loses_what_it_claimed(
    host: Host, puppet: Puppet, client: Caller, session: aiohttp.ClientSession
) -> None:
    shown, fresh = await client.tell("shown"), await client.tell("fresh")
    first = await puppet.take()
    second = await puppet.take()
    await puppet.progress(first, 0, "partial")
    await client.status(shown, wait=20, offset=7)
    status = await client.status(shown)
    assert (status["state"], status["reply"]) == ("failed", "partial")
    assert "no sign of life for 0.4 s" in status["error"]
    other = Puppet(session, host.url, "p2")
    taken = await other.take()  # what had shown nothing is done elsewhere
    assert taken["reqid"] == fresh and taken["attempt"] != second["attempt"]
    await other.finish(taken, 0, "done elsewhere")
    late = await puppet.finish(second, 0, "too late")  # it wakes, and overwrites nothing
    assert not late["accepted"]
    assert (await client.status(fresh))["reply"] == "done elsewhere"


async def test_signs_of_life_keep_the_claim(host: Host, puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    work = await puppet.take()
    for _ in range(12):  # three leases long
        await puppet.tell_status(state="ready")
        await asyncio.sleep(SHORT.lease_s / 4)
    await host.sweeper.sweep()
    assert (await client.status(command_id))["state"] == "running"
    assert (await puppet.finish(work, 0, "done"))["accepted"]


async def test_a_poll_that_waits_for_work_is_a_sign_of_life(
    host: Host, puppet: Puppet, client: Caller
) -> None:
    command_id = await client.tell()
    await puppet.take()
    waiting = asyncio.create_task(puppet.control(wait=14))
    for _ in range(8):
        await puppet.tell_status(state="ready")
        await asyncio.sleep(SHORT.lease_s / 4)
    waiting.cancel()
    assert (await client.status(command_id))["state"] == "running"


async def test_a_claim_that_its_module_never_heard_of_is_given_again(
    host: Host, puppet: Puppet, client: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "DELIVERY_S", 0.0)
    command_id = await client.tell()
    lost = await puppet.take()
    await puppet.tell_status(state="ready", commands=[command_id])
    await puppet.tell_status(state="ready", commands=[])
    assert (await client.status(command_id))["state"] == "running"  # said once: maybe on its way
    await puppet.tell_status(state="ready", commands=[])
    assert (await client.status(command_id))["state"] == "queued"
    again = await puppet.take()
    assert again["reqid"] == command_id and again["attempt"] != lost["attempt"]


async def test_a_young_claim_may_still_be_on_its_way(puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    await puppet.take()
    for _ in range(3):
        await puppet.tell_status(state="ready", commands=[])
    assert (await client.status(command_id))["state"] == "running"


async def test_a_cancelled_command_whose_module_died_is_cancelled(
    host: Host, puppet: Puppet, client: Caller
) -> None:
    command_id = await client.tell()
    work = await puppet.take()
    await puppet.progress(work, 0, "partial")
    await client.cancel(command_id)
    await host.dispatcher.instance_gone("Puppet", "p1", "killed by signal 9")
    status = await client.status(command_id)
    assert (status["state"], status["reply"]) == ("cancelled", "partial")
