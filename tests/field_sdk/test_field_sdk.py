"""A module written for the field's own SDK runs on this host, unmodified.

Its SDK lives in an environment of its own, `.venv/field-sdk`, which `./install.sh --dev` makes.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from puppet import Caller, running_host
from test_events import follow, text_of

from host.app import Host
from host.processes.supervision import ModuleStatus

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIELD_SDK = Path(sys.prefix) / "field-sdk"


def write_root(root: Path) -> Path:
    """A deployment with the counting module; its routes are marked with nothing of ours."""
    folder = root / "modules" / "Counting"
    folder.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("counting_module.py"), folder / "counting.py")
    (folder / ".venv").symlink_to(FIELD_SDK)
    module = {
        "Name": "Counting",
        "Version": "1.0",
        "LaunchSettings": {"AutoStart": True, "FilePath": "counting.py", "Parallelism": 1},
        "RouteMaps": [
            {"Name": "Count", "Route": "text/count", "Method": "POST", "Command": "count"},
            {"Name": "Echo", "Route": "text/echo", "Method": "POST", "Command": "echo"},
        ],
    }
    text = json.dumps({"Modules": {"Counting": module}})
    (folder / "modulesettings.json").write_text(text, encoding="utf-8")
    (root / "modulesettings.json").write_text(
        '{"Server": {"Port": 0, "DataDir": "data"}}', encoding="utf-8"
    )
    return root


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    """One for all tests here: its module needs seconds to start and to end."""
    if not FIELD_SDK.is_dir():
        pytest.fail(f"{FIELD_SDK} is not there: run ./install.sh --dev")
    async with running_host(write_root(tmp_path_factory.mktemp("root"))) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def client(host: Host) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as session:
        yield Caller(session, host.url)


async def ended(client: Caller, command_id: str) -> dict[str, Any]:
    """Follow a command to its end by waiting polls; its last status, with the whole reply."""
    offset, values = 0, {"commandId": command_id}
    while True:
        waiting = {**values, "offset": offset, "wait": 10}
        status = await client.post("/v1/Counting/get_command_status", waiting)
        if status["state"] not in ("queued", "running"):
            return await client.post("/v1/Counting/get_command_status", values)
        offset = status["nextOffset"]


async def test_a_field_module_lives_here(host: Host, client: Caller) -> None:
    # the first start shows that the route is a long process; the second waits its turn
    values = {"word": "a", "numbers": 8}
    first = await client.post("/v1/text/count", values)
    second = await client.post("/v1/text/count", {"word": "b", "numbers": 3})
    assert first["commandId"] != second["commandId"]
    assert (second["state"], second["queuePosition"]) == ("queued", 1)

    stream = asyncio.create_task(follow(client, first["commandId"]))
    status = await ended(client, first["commandId"])
    assert status["reply"] == "".join(f"a{n} " for n in range(8))
    assert (status["stop_reason"], status["state"]) == ("completed", "completed")
    assert status["processMs"] > 0
    assert text_of(await stream) == status["reply"]

    status = await ended(client, second["commandId"])
    assert status["reply"] == "b0 b1 b2 "
    again = await client.post(
        "/v1/Counting/get_command_status", {"commandId": first["commandId"], "offset": 6}
    )
    assert again["delta"] == "".join(f"a{n} " for n in range(2, 8))  # the first is still readable

    assert (await client.post("/v1/text/echo", {"text": "hi"}))["said"] == "hi"


async def test_a_field_module_can_be_cancelled_and_goes_on(host: Host, client: Caller) -> None:
    long = await client.post("/v1/text/count", {"word": "x", "numbers": 100_000})
    next_one = await client.post("/v1/text/count", {"word": "y", "numbers": 2})
    values = {"commandId": long["commandId"], "offset": 0, "wait": 10}
    status = await client.post("/v1/Counting/get_command_status", values)
    while not status["delta"]:
        status = await client.post("/v1/Counting/get_command_status", values)
    cancel = await client.post("/v1/Counting/cancel_command", {"commandId": long["commandId"]})
    assert cancel["cancel"] == "requested"
    status = await ended(client, long["commandId"])
    assert (status["state"], status["stop_reason"]) == ("cancelled", "cancelled")
    assert status["reply"].startswith("x0 ")
    assert (await ended(client, next_one["commandId"]))["reply"] == "y0 y1 "


async def test_a_field_module_quits_when_asked(host: Host, client: Caller) -> None:
    await client.post("/v1/text/echo", {"text": "it runs"})
    assert host.supervisor.state("Counting").status is ModuleStatus.STARTED
    begun = time.monotonic()
    await host.supervisor.stop("Counting")
    state = host.supervisor.state("Counting")
    assert state.status is ModuleStatus.STOPPED and "on request" in state.reason
    assert time.monotonic() - begun < 5
