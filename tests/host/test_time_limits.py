"""Commands that wait or run longer than their queue allows."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from puppet import Caller, Puppet, running_host, write_root

from host.work import endings, sweeper


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "EVERY_S", 0.05)


async def test_waiting_too_long_fails_with_the_reason(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with running_host(write_root(tmp_path, {"MaxWaitSecs": 0.1})) as host:
        await Puppet(session, host.url).poll(wait=0)
        client = Caller(session, host.url)
        status = await client.status(await client.tell(), wait=20)
        assert (status["state"], status["stop_reason"]) == ("failed", "waited_too_long")
        assert "at most 0.1 s are allowed (MaxWaitSecs)" in status["error"]


async def test_running_too_long_is_stopped_and_says_so(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with running_host(write_root(tmp_path, {"MaxRunSecs": 0.1})) as host:
        puppet, client = Puppet(session, host.url), Caller(session, host.url)
        await puppet.poll(wait=0)
        command_id = await client.tell()
        work = await puppet.take()
        assert await puppet.control() == [{"type": "cancel", "commandId": command_id}]
        assert (await puppet.progress(work, 0, "as far as it came"))["cancel"] == [command_id]
        await puppet.finish(work, 17, "", stop_reason="cancelled")
        status = await client.status(command_id)
        assert (status["state"], status["stop_reason"]) == ("completed", "time_limit")
        assert status["reply"] == "as far as it came"


async def test_what_does_not_stop_when_told_is_ended(
    tmp_path: Path, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "STOP_WITHIN_S", 0.1)
    async with running_host(write_root(tmp_path, {"MaxRunSecs": 0.1})) as host:
        puppet, client = Puppet(session, host.url), Caller(session, host.url)
        await puppet.poll(wait=0)
        command_id = await client.tell()
        work = await puppet.take()
        await puppet.progress(work, 0, "on and on")
        status = await client.status(command_id, wait=20)
        while status["state"] == "running":
            status = await client.status(command_id, wait=20)
        assert (status["state"], status["stop_reason"]) == ("failed", "time_limit")
        assert status["reply"] == "on and on" and "MaxRunSecs" in status["error"]
        assert not (await puppet.progress(work, 9, "and on"))["accepted"]
