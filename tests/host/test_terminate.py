"""SIGTERM to a real host with a real module: what runs ends, or goes on in the next process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from patient_root import lets_end, write
from puppet import Caller

if sys.platform == "win32":
    pytest.skip("about signals", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]


class Served:
    """A host process, and a client of it."""

    def __init__(self, process: asyncio.subprocess.Process, client: Caller) -> None:
        self.process, self.client = process, client

    async def ask(self, say: str) -> str:
        return str((await self.client.post("/v1/patient", {"say": say}))["commandId"])

    async def look(self, command_id: str, **values: Any) -> dict[str, Any]:
        path = f"/v1/commands/{command_id}"
        return (await self.client.call("GET", path, params=values))[1]

    async def until(self, command_id: str, **wanted: Any) -> dict[str, Any]:
        """The status, as soon as it has these fields."""
        while True:
            status = await self.look(command_id, wait="0.1")
            if wanted.items() <= status.items():
                return status

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    async def ended(self) -> None:
        assert await asyncio.wait_for(self.process.wait(), 20) == 0

    async def last_event(self, command_id: str) -> str:
        url = f"{self.client.url}/v1/commands/{command_id}/events"
        async with self.client.session.get(url) as response:
            return (await response.text()).strip().splitlines()[-1]

    async def drains(self) -> None:
        is_told = False
        while not is_told:
            is_told = (await self.client.call("GET", "/v1/status/ping"))[1]["draining"]


@asynccontextmanager
async def served(root: Path, session: aiohttp.ClientSession) -> AsyncIterator[Served]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "host", "serve", "--root", str(root)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        line = b""
        while b"Explorer:" not in line:
            line = await asyncio.wait_for(process.stdout.readline(), 30)
        yield Served(process, Caller(session, line.decode().split()[-1].rstrip("/")))
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


async def test_what_runs_ends_before_the_host_does(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    write(tmp_path)
    async with served(tmp_path, session) as host:
        ids = [await host.ask(say) for say in ("one ", "two ", "waits ")]
        for command_id, said in zip(ids, ("one ", "two "), strict=False):
            await host.until(command_id, state="running", reply=said)  # its module has it
        reader = asyncio.create_task(host.last_event(ids[0]))
        host.end()
        await host.drains()
        assert (await host.look(ids[2]))["state"] == "queued", "nothing is begun any more"
        lets_end(tmp_path)
        assert '"state":"completed"' in await reader, "whoever waits for it hears of the end"
        await host.ended()
    async with served(tmp_path, session) as host:
        states = [(await host.look(one))["state"] for one in ids[:2]]
        assert states == ["completed", "completed"]
        assert (await host.until(ids[2], state="completed"))["reply"] == "waits done"


async def cut_off(host: Served) -> tuple[str, str]:
    """Two that run for ever: one that has shown text, one that has not."""
    shown, silent = await host.ask("shown "), await host.ask("")
    await host.until(shown, reply="shown ")
    await host.until(silent, state="running")
    return shown, silent


async def check_the_next(
    root: Path, session: aiohttp.ClientSession, shown: str, silent: str, why: str
) -> None:
    async with served(root, session) as host:
        status = await host.look(shown)
        assert (status["state"], status["reply"]) == ("failed", "shown ")
        assert status["error"] == why
        lets_end(root)
        status = await host.until(silent, state="completed")
        assert status["reply"] == "done" and "failedAttempts" not in status
        host.end(signal.SIGINT)
        await host.ended()


async def test_after_its_time_the_host_stops_and_what_was_silent_goes_on_in_the_next(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    write(tmp_path, DrainSecs=0.5)
    async with served(tmp_path, session) as host:
        shown, silent = await cut_off(host)
        host.end()
        await host.ended()
    why = (
        "the host was told to end while this command ran, and had not ended 0.5 s later (DrainSecs)"
    )
    await check_the_next(tmp_path, session, shown, silent, why)


@pytest.mark.parametrize(
    ("how", "settings"),
    [
        ([signal.SIGINT], {}),
        ([signal.SIGTERM, signal.SIGTERM], {}),
        ([signal.SIGTERM], {"OnTerminate": "stop"}),
    ],
    ids=["Ctrl-C", "twice", "by setting"],
)
async def test_without_waiting_the_same(
    tmp_path: Path,
    session: aiohttp.ClientSession,
    how: list[signal.Signals],
    settings: dict[str, Any],
) -> None:
    write(tmp_path, **settings)
    async with served(tmp_path, session) as host:
        shown, silent = await cut_off(host)
        begin_s = time.monotonic()
        for number in how[:-1]:
            host.end(number)
            await host.drains()
        host.end(how[-1])
        await host.ended()
        assert time.monotonic() - begin_s < 10, "it did not wait for what runs"
    why = "the host was told to end while this command ran"
    await check_the_next(tmp_path, session, shown, silent, why)


async def test_an_idle_host_ends_at_once(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    write(tmp_path)
    async with served(tmp_path, session) as host:
        begin_s = time.monotonic()
        host.end()
        await host.ended()
        assert time.monotonic() - begin_s < 10
