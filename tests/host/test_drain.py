"""Draining: nothing is begun any more, what runs finishes, then the host ends by itself."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from patient_root import lets_end, write
from puppet import Caller, Puppet
from store_suite import until

from host.app import Host

ROOT = Path(__file__).resolve().parents[2]
STATUS = "/v1/Patient/get_command_status"


async def llamachat(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "host", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )


@asynccontextmanager
async def served(root: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A host process with the module that waits to be told; its url."""
    process = await llamachat("serve", "--root", str(root))
    assert process.stdout is not None
    try:
        line = b""
        while b"Explorer:" not in line:
            line = await process.stdout.readline()
            if not line:
                _, errors = await process.communicate()
                pytest.fail(errors.decode())
        yield process, line.decode().split()[-1].rstrip("/")
    finally:
        if process.returncode is None:
            os.killpg(process.pid, 9)
        await process.communicate()


async def started(client: Caller, say: str) -> str:
    """The id of a command that has begun."""
    reply = await client.post("/v1/patient", {"say": say})
    command_id = str(reply["commandId"])
    while (await client.post(STATUS, {"commandId": command_id, "wait": 20}))["state"] == "queued":
        pass
    return command_id


async def final(client: Caller, command_id: str) -> dict[str, Any]:
    while True:
        status = await client.post(STATUS, {"commandId": command_id, "wait": 20})
        if status["state"] not in ("queued", "running"):
            return status


async def draining(client: Caller) -> None:
    """Return when the host says that it drains."""
    while True:
        if (await client.call("GET", "/v1/status/ping"))[1]["draining"]:
            return
        await asyncio.sleep(0.02)


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
@pytest.mark.parametrize("store", ["memory", "local"])
async def test_what_runs_finishes_and_both_processes_end_with_0(
    tmp_path: Path, session: aiohttp.ClientSession, store: str
) -> None:
    write(tmp_path, Store=store)
    async with served(tmp_path) as (host, url):
        client = Caller(session, url)
        command_id = await started(client, "one ")
        last = asyncio.create_task(final(client, command_id))
        drain = await llamachat("drain", "--url", url)
        await draining(client)
        code, late = await client.call("POST", "/v1/patient", json={"say": "late "})
        if store == "memory":
            assert code == 503 and "being shut down" in late["error"] and late["code"] == 503
        else:
            assert (code, late["state"]) == (200, "queued")
        lets_end(tmp_path)
        assert (await last)["reply"] == "one done"
        out, err = await drain.communicate()
        assert (drain.returncode, err) == (0, b"")
        assert b"draining: 1 running" in out and b"the host has ended" in out
        assert await asyncio.wait_for(host.wait(), 10) == 0
    if store == "local":  # what came late was kept for the next host
        async with served(tmp_path) as (_, url):
            status = await final(Caller(session, url), late["commandId"])
            assert status["reply"] == "late done"


async def test_a_draining_host_hands_out_nothing(
    host: Host, puppet: Puppet, client: Caller, session: aiohttp.ClientSession
) -> None:
    running, waiting = await client.tell("running"), await client.tell("waiting")
    work = await puppet.take()
    _, body = await client.call("POST", "/v1/server/drain")
    assert body["success"] and body["draining"] and body["running"] == 1
    assert await Puppet(session, host.url, "p2").poll(wait=0.1) is None
    assert not host.draining.done.is_set()
    await puppet.finish(work, 0, "done")
    assert (await client.status(running))["reply"] == "done"
    assert (await client.status(waiting))["state"] == "queued"
    await asyncio.wait_for(host.draining.done.wait(), 5)


async def test_a_poll_that_waits_already_gets_nothing_either(
    host: Host, puppet: Puppet, client: Caller
) -> None:
    poll = asyncio.create_task(puppet.poll(wait=10))

    async def waits() -> bool:
        return bool(host.dispatcher.claims._waiting)

    await until(waits)
    host.draining.begin()
    assert await poll is None
    await asyncio.wait_for(host.draining.done.wait(), 5)


async def test_draining_where_no_host_is_says_so() -> None:
    process = await llamachat("drain", "--url", "http://127.0.0.1:9")
    _, err = await process.communicate()
    assert process.returncode == 1 and b"no host answers" in err
