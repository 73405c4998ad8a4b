"""One module launched anew, by the API and the command, for operators; what waits is kept."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from puppet import Caller, running_host, write_root
from test_cli import EXAMPLE, llamachat, result

from host.app import Host

MODULE = EXAMPLE.name
RESTART = f"/v1/modules/{MODULE}/restart"
COUNT = "/v1/example/count-words"


@pytest.fixture
async def counting(tmp_path: Path) -> AsyncIterator[Host]:
    write_root(tmp_path)
    shutil.copytree(EXAMPLE, tmp_path / "modules" / MODULE)
    settings = tmp_path / "modules" / MODULE / "modulesettings.json"
    one_slot = settings.read_text().replace('"Parallelism": 4', '"Parallelism": 1')
    settings.write_text(one_slot, encoding="utf-8")
    async with running_host(tmp_path) as host:
        yield host


async def ended(client: Caller, started: dict[str, Any]) -> dict[str, Any]:
    path, values = f"/v1/{MODULE}/get_command_status", {"commandId": started["commandId"]}
    while True:
        status = await client.post(path, {**values, "wait": 20})
        if status["state"] not in ("queued", "running"):
            return status


async def first_text(client: Caller, started: dict[str, Any]) -> None:
    path, values = f"/v1/{MODULE}/get_command_status", {"commandId": started["commandId"]}
    while not (await client.post(path, {**values, "wait": 20, "offset": 0}))["delta"]:
        pass


async def test_what_waits_is_kept_and_what_had_text_says_why(
    counting: Host, session: aiohttp.ClientSession
) -> None:
    client = Caller(session, counting.url)
    running = await client.post(COUNT, {"words": 10_000, "delay_ms": 10})
    waiting = await client.post(COUNT, {"words": 2, "delay_ms": 0})
    await first_text(client, running)
    before = counting.supervisor.state(MODULE).pid
    both = await asyncio.gather(client.post(RESTART), client.post(RESTART))
    assert {one["status"] for one in both} <= {"Starting", "Started"}
    assert counting.supervisor.state(MODULE).pid not in (before, None)
    status = await ended(client, running)
    assert status["state"] == "failed" and status["reply"].startswith("word1 ")
    assert (await ended(client, waiting))["reply"] == "word1 word2 "


async def test_it_goes_on_when_the_caller_leaves(
    counting: Host, session: aiohttp.ClientSession
) -> None:
    before = counting.supervisor.state(MODULE).pid
    asking = asyncio.create_task(Caller(session, counting.url).post(RESTART))
    while counting.supervisor.state(MODULE).status.value != "Restarting":
        await asyncio.sleep(0)
        if asking.done():
            break
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    client = Caller(session, counting.url)
    assert (await ended(client, await client.post(COUNT, {"words": 1})))["reply"] == "word1 "
    assert counting.supervisor.state(MODULE).pid != before


async def test_the_command(counting: Host) -> None:
    before = counting.supervisor.state(MODULE).pid
    command = await llamachat("restart", MODULE, "--url", counting.url)
    code, out, err = await result(command)
    assert (code, out) == (0, f"Module {MODULE} is launched anew\n"), err
    assert counting.supervisor.state(MODULE).pid not in (before, None)
    code, _, err = await result(await llamachat("restart", "nobody", "--url", counting.url))
    assert code == 1 and "no module 'nobody' here (there are:" in err


async def test_operators_only(host: Host, client: Caller) -> None:
    elsewhere = {"X-Forwarded-For": "192.0.2.1"}
    status, body = await client.call("POST", "/v1/modules/Puppet/restart", headers=elsewhere)
    assert status == 403 and "Server.ModuleToken" in body["error"]
    status, _ = await client.call("GET", "/v1/modules/Puppet/restart")
    assert status in (404, 405)
