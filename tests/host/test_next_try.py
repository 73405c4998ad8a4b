"""A module that was given up is tried again after a growing pause; what waits is kept for it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from puppet import Caller
from test_cli import llamachat, result
from world import CRASHES, RUNS, World

from host.app import Host
from host.processes.failure_row import FailureRow
from host.processes.supervision import TRIES_AGAIN, ModuleStatus, RestartPolicy, Timing
from host.settings import load_settings

POLICY = RestartPolicy(max_failures=2, first_pause_s=0.01, first_try_s=60.0, max_try_s=200.0)

UNTIL_MENDED = """
import os, sys, time
while not os.path.exists("go"):
    time.sleep(0.01)
if not os.path.exists("mended"):
    sys.exit("the disk is away")
from sdk import LongProcess, ModuleRunner

class Mended(ModuleRunner):
    def process(self, data):
        return LongProcess(lambda data, command: command.append("at last"))

Mended().start_loop()
"""


class Minutes:
    """Pauses of a minute and more last until the test says so."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self._over = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if seconds >= 60:
            self.pauses.append(seconds)
            self._over.clear()
            await self._over.wait()

    def pass_by(self) -> None:
        self._over.set()


def test_pauses_grow_up_to_half_an_hour_and_a_stable_run_ends_the_row() -> None:
    row = FailureRow(TRIES_AGAIN)
    for _ in range(5):
        assert not row.is_given_up
        row.fail(was_stable=False)
    tries = [row.next_try_s() for _ in range(7)]
    assert row.is_given_up and tries == [60, 120, 240, 480, 960, 1800, 1800]
    row.fail(was_stable=True)
    assert not row.is_given_up and row.next_try_s() == 60


async def test_one_that_was_given_up_is_tried_again(world: World) -> None:
    minutes, module = Minutes(), world.module(CRASHES)
    supervisor = world.supervisor(module, restarts=POLICY, sleep=minutes.sleep)
    await supervisor.start("M")
    for tries, pause_s in enumerate([60.0, 120.0, 200.0], 1):
        await world.until(lambda tries=tries: len(minutes.pauses) == tries)  # type: ignore[misc]
        state = supervisor.state("M")
        assert (state.status, minutes.pauses[-1]) == (ModuleStatus.CRASHED, pause_s)
        assert state.next_try_s is not None and state.pid is None
        assert state.restarts == tries
        assert state.reason.startswith(f"crashed {tries + 1} times in a row")
        assert 0 < state.next_try_s - time.monotonic() <= pause_s
        minutes.pass_by()
    await world.until(lambda: len(minutes.pauses) == 4)
    (module.path / "child.py").write_text(RUNS)
    minutes.pass_by()
    await world.entry("ready")
    supervisor.mark_ready("M", None)
    state = supervisor.state("M")
    assert (state.status, state.next_try_s, state.reason) == (ModuleStatus.STARTED, None, "")


async def test_whoever_starts_it_need_not_wait(world: World) -> None:
    minutes, module = Minutes(), world.module(CRASHES)
    supervisor = world.supervisor(module, restarts=POLICY, sleep=minutes.sleep)
    await supervisor.start("M")
    await world.until(lambda: bool(minutes.pauses))
    (module.path / "child.py").write_text(RUNS)
    await supervisor.start("M")
    assert supervisor.state("M").next_try_s is None
    await world.entry("ready")
    await supervisor.stop("M")
    (module.path / "child.py").write_text(CRASHES)
    await supervisor.start("M")
    await world.until(lambda: len(minutes.pauses) == 2)
    assert minutes.pauses == [60.0, 60.0], "a start begins anew"
    await supervisor.stop("M")
    state = supervisor.state("M")
    assert (state.status, state.next_try_s) == (ModuleStatus.STOPPED, None)


class Given:
    """A host with a module that cannot run yet, and its client."""

    def __init__(self, caller: Caller, minutes: Minutes, folder: Path) -> None:
        self.caller, self.minutes, self._folder = caller, minutes, folder

    async def module(self) -> dict[str, Any]:
        _, body = await self.caller.call("GET", "/v1/module/list/status")
        return dict(body["statuses"][0])

    async def until(self, is_true: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        while True:
            status = await self.module()
            if is_true(status):
                return status

    async def crash(self) -> dict[str, Any]:
        (self._folder / "go").touch()
        return await self.until(lambda one: one["nextTry"])

    async def ended(self, command_id: str) -> dict[str, Any]:
        path, values = "/v1/Ill/get_command_status", {"commandId": command_id, "wait": 5}
        while (status := await self.caller.post(path, values))["state"] in ("queued", "running"):
            pass
        return status

    def mend(self) -> None:
        (self._folder / "mended").touch()
        self.minutes.pass_by()


@asynccontextmanager
async def served(root: Path, store: str, **launch: Any) -> AsyncIterator[Given]:
    folder = root / "modules" / "Ill"
    folder.mkdir(parents=True)
    (folder / "ill.py").write_text(UNTIL_MENDED, encoding="utf-8")
    module = {
        "LaunchSettings": {"FilePath": "ill.py", **launch},
        "RouteMaps": [{"Route": "ill/do", "Command": "do", "LongProcess": True}],
    }
    text = json.dumps({"Modules": {"Ill": module}})
    (folder / "modulesettings.json").write_text(text, encoding="utf-8")
    own = json.dumps({"Server": {"Port": 0, "Store": store, "DataDir": "data"}})
    (root / "modulesettings.json").write_text(own, encoding="utf-8")
    minutes = Minutes()
    host = Host(load_settings(root), timing=Timing(restarts=POLICY, sleep=minutes.sleep))
    await host.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Given(Caller(session, host.url), minutes, folder)
    finally:
        await host.stop()


@pytest.mark.parametrize("store", ["local", "memory"])
async def test_what_waits_is_kept_and_what_comes_is_told_when_to_come_again(
    tmp_path: Path, store: str
) -> None:
    async with served(tmp_path, store) as ill:
        await ill.until(lambda one: one["status"] == "Starting")
        waiting = await ill.caller.post("/v1/ill/do")
        listed = await ill.crash()
        assert listed["status"] == "Crashed" and "the disk is away" in listed["reason"]
        in_s = datetime.fromisoformat(listed["nextTry"]).timestamp() - time.time()
        assert 50 < in_s <= 60
        assert listed["instances"][0]["nextTry"][:16] == listed["nextTry"][:16]

        async with ill.caller.session.post(f"{ill.caller.url}/v1/ill/do") as response:
            body = await response.json()
        assert response.status == 503 and 50 < int(response.headers["Retry-After"]) <= 60
        assert 50_000 < body["retryAfterMs"] <= 60_000
        assert "is tried again in " in body["error"] and "the disk is away" in body["error"]
        code, out, _ = await result(await llamachat("status", "--url", ill.caller.url))
        assert code == 0 and f"it is tried again at {listed['nextTry'][:16]}" in out

        ill.mend()
        status = await ill.ended(waiting["commandId"])
        assert (status["state"], status["reply"]) == ("completed", "at last")
        assert (await ill.module())["nextTry"] is None


async def test_what_waits_waits_no_longer_than_it_may(tmp_path: Path) -> None:
    async with served(tmp_path, "memory", MaxWaitSecs=0.5) as ill:
        await ill.until(lambda one: one["status"] == "Starting")
        waiting = await ill.caller.post("/v1/ill/do")
        await ill.crash()
        status = await ill.ended(waiting["commandId"])
        assert status["state"] == "failed" and "(MaxWaitSecs)" in status["error"]
