"""A host that is stopped for a while, as by a suspended machine: nobody is judged by its sleep."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import aiohttp
import pytest
from child_host import child_host
from puppet import Caller, Puppet, running_host, write_root
from redis_server import RedisServer

from host.work.leases import LeaseTerms
from host.work.sweeper import EVERY_S

if sys.platform == "win32":
    pytest.skip("about signals", allow_module_level=True)


async def stop_for(process: asyncio.subprocess.Process, seconds: float) -> None:
    os.kill(process.pid, signal.SIGSTOP)
    await asyncio.sleep(seconds)
    os.kill(process.pid, signal.SIGCONT)


async def chats_go_on(
    root: Path, lease_s: float, stopped_s: float, speaks_again_s: float, sweep_s: float = EVERY_S
) -> None:
    async with (
        child_host(root, lease_s, sweep_s=sweep_s) as (process, url),
        aiohttp.ClientSession() as session,
    ):
        client, puppet = Caller(session, url), Puppet(session, url)
        await puppet.poll(wait=0)
        ids = [await client.tell() for _ in range(3)]
        works = [await puppet.take() for _ in ids]
        await puppet.progress(works[0], 0, "so far")
        await stop_for(process, stopped_s)
        assert (await client.call("GET", "/v1/status/ping"))[0] == 200
        await asyncio.sleep(speaks_again_s)  # it sweeps, and nobody has spoken yet
        for work in works:
            told = await puppet.finish(work, 6 if work is works[0] else 0, " and on")
            assert told["accepted"], told
        for command_id in ids:
            status = await client.status(command_id)
            assert (status["state"], "failedAttempts" in status) == ("completed", False)
        assert (await client.status(works[0]["reqid"]))["reply"] == "so far and on"


async def test_chats_go_on_after_the_host_was_stopped(tmp_path: Path) -> None:
    await chats_go_on(write_root(tmp_path), 1.5, 2.5, 0.3, sweep_s=0.2)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_chats_go_on_after_a_minute(tmp_path: Path) -> None:
    await chats_go_on(write_root(tmp_path), 20.0, 60.0, 5.0)


async def go_on_beside_another_host(
    folder: Path, store: str, lease_s: float, stopped_s: float
) -> None:
    """Their module speaks to the host that is stopped; the other one sweeps on."""
    roots = [write_root(folder / name, Store=store) for name in ("a", "b")]
    async with (
        child_host(roots[0], lease_s) as (stopped, url),
        child_host(roots[1], lease_s) as (_, other_url),
        aiohttp.ClientSession() as session,
    ):
        puppet, client = Puppet(session, url), Caller(session, other_url)
        await puppet.poll(wait=0)
        ids = [await puppet.tell() for _ in range(2)]
        works = [await puppet.take() for _ in ids]
        await puppet.progress(works[0], 0, "so far")
        await stop_for(stopped, stopped_s)
        assert (await puppet.finish(works[0], 6, " and on"))["accepted"]
        assert (await puppet.finish(works[1], 0, "too"))["accepted"]
        ended = [await client.status(one) for one in ids]
        assert [one["state"] for one in ended] == ["completed"] * 2
        assert ended[0]["reply"] == "so far and on" and "failedAttempts" not in ended[1]


async def test_another_host_judges_nobody_by_one_that_stands_still(
    server: RedisServer, tmp_path: Path
) -> None:
    await go_on_beside_another_host(tmp_path, server.url, 3.0, 7.0)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_minute_beside_another_host(server: RedisServer, tmp_path: Path) -> None:
    await go_on_beside_another_host(tmp_path, server.url.replace("/0", "/1"), 20.0, 60.0)


async def test_what_a_host_had_that_is_gone_is_found_out_by_another(
    server: RedisServer, tmp_path: Path
) -> None:
    store = server.url.replace("/0", "/2")
    roots = [write_root(tmp_path / name, Store=store) for name in ("a", "b")]
    async with (
        child_host(roots[1], 2.0) as (_, other_url),
        aiohttp.ClientSession() as session,
    ):
        async with child_host(roots[0], 2.0) as (gone, url):
            puppet = Puppet(session, url)
            await puppet.poll(wait=0)
            command_id = await puppet.tell()
            await puppet.progress(await puppet.take(), 0, "so far")
            gone.kill()
        status = await Caller(session, other_url).status(command_id, wait=20, offset=6)
        assert status["state"] == "failed" and "no sign of life" in status["error"]


async def test_one_that_died_meanwhile_is_found_out_a_lease_later(tmp_path: Path) -> None:
    root = write_root(tmp_path)
    async with (
        child_host(root, 1.0, sweep_s=0.2) as (process, url),
        aiohttp.ClientSession() as session,
    ):
        client, puppet = Caller(session, url), Puppet(session, url)
        await puppet.poll(wait=0)
        command_id = await client.tell()
        await puppet.progress(await puppet.take(), 0, "so far")
        await stop_for(process, 2.0)
        status = await client.status(command_id, wait=20, offset=6)
        assert status["state"] == "failed" and "no sign of life" in status["error"]


async def test_a_disk_that_holds_everything_up(tmp_path: Path) -> None:
    """The same without a signal: the event loop stands still."""
    terms = LeaseTerms(lease_s=0.5, part1_lease_s=0.5, renew_every_s=0.05)
    async with (
        running_host(write_root(tmp_path), leases=terms) as host,
        aiohttp.ClientSession() as session,
    ):
        client, puppet = Caller(session, host.url), Puppet(session, host.url)
        await puppet.poll(wait=0)
        await client.tell()
        work = await puppet.take()
        await host.sweeper.sweep()
        time.sleep(EVERY_S + 0.7)  # noqa: ASYNC251  that is what is tested
        await host.sweeper.sweep()
        told = await puppet.finish(work, 0, "done")
        assert told["accepted"]
        assert any("stood still" in one.entry for one in host.log.list(0, 100))
