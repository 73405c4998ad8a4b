"""`llamachat module`: real module processes away from their host, as seen from both sides."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from aiohttp import web
from puppet import Caller, running_host
from world import is_alive

from host.app import Host
from host.cli import remote as remote_file
from host.cli.remote import RemoteHost, RemoteModule, new_id
from host.log.ring import LogRing
from host.processes.supervision import StopLadder, Timing
from host.settings import load_settings

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "minimal_long_process"
MODULE = EXAMPLE.name
HASTY = """
import asyncio, sys
from functools import partial
from host.cli import main, remote
from host.processes.supervision import Timing
remote.Timing = partial(Timing, sleep=lambda seconds: asyncio.sleep(seconds / 50))
sys.exit(main.main())
"""


class Remote:
    """The command in a process of its own; its console is read line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    @classmethod
    async def launch(
        cls, root: Path, *arguments: str, program: tuple[str, ...] = ("-m", "host")
    ) -> Remote:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(*program, "module", MODULE, "--root", str(root), *arguments),
            cwd=ROOT,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        return cls(process)

    async def line(self, words: str) -> str:
        """Wait for a line on the console that has these words."""
        assert self.process.stderr is not None
        while True:
            line = await asyncio.wait_for(self.process.stderr.readline(), 30)
            assert line, self.lines
            self.lines.append(line.decode())
            if words in self.lines[-1]:
                return self.lines[-1]

    async def end(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send the signal and wait; how many seconds the end took."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        begin_s = time.monotonic()
        self.process.send_signal(number)
        await asyncio.wait_for(self.process.communicate(), 20)
        took_s = time.monotonic() - begin_s
        assert [child.pid for child in below if is_alive(child.pid)] == []
        return took_s

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.communicate()


@pytest.fixture
async def remotes() -> AsyncIterator[list[Remote]]:
    made: list[Remote] = []
    yield made
    for remote in made:
        await remote.kill()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A deployment whose host does not launch the module itself."""
    shutil.copytree(EXAMPLE, tmp_path / "modules" / MODULE)
    settings = {
        "Server": {"Port": 0, "DataDir": "data"},
        "Modules": {MODULE: {"LaunchSettings": {"AutoStart": False}}},
    }
    (tmp_path / "modulesettings.json").write_text(json.dumps(settings), encoding="utf-8")
    return tmp_path


@pytest.fixture
async def served(root: Path) -> AsyncIterator[Host]:
    async with running_host(root) as running:
        yield running


async def count(caller: Caller, words: int, delay_ms: int) -> str:
    values = {"words": words, "delay_ms": delay_ms}
    return str((await caller.post("/v1/example/count-words", values))["commandId"])


async def status(caller: Caller, command_id: str, **values: Any) -> dict[str, Any]:
    path = f"/v1/{MODULE}/get_command_status"
    return await caller.post(path, {"commandId": command_id, **values})


async def ended(caller: Caller, command_id: str) -> dict[str, Any]:
    deadline_s = time.monotonic() + 30
    while (seen := await status(caller, command_id, wait=5))["state"] in ("queued", "running"):
        assert time.monotonic() < deadline_s, seen
    return seen


async def instances(caller: Caller) -> list[dict[str, Any]]:
    _, body = await caller.call("GET", "/v1/module/list/status")
    [module] = body["statuses"]
    return list(module["instances"])


def text(words: int) -> str:
    return "".join(f"word{number} " for number in range(1, words + 1))


async def test_it_serves_a_host_elsewhere(
    served: Host, root: Path, session: aiohttp.ClientSession, remotes: list[Remote]
) -> None:
    caller = Caller(session, served.url)
    remotes.append(await Remote.launch(root, "--host", served.url, "--instances", "2"))
    await remotes[0].line("is ready")
    await remotes[0].line("is ready")
    command_id = await count(caller, 3, 1)
    assert (await ended(caller, command_id))["reply"] == text(3)
    listed = await instances(caller)
    assert len(listed) == 2
    for one in listed:
        assert not one["isLaunchedHere"] and one["status"] == "Started"
        assert one["instanceId"].startswith(one["machine"][:60])
        assert one["slots"] == 4
    assert await remotes[0].end() < 5
    assert await instances(caller) == [], "they have said goodbye"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_its_end_gives_back_what_has_not_begun_and_keeps_the_text_of_the_rest(
    served: Host,
    root: Path,
    session: aiohttp.ClientSession,
    remotes: list[Remote],
    number: signal.Signals,
) -> None:
    caller = Caller(session, served.url)
    remotes.append(await Remote.launch(root, "--host", served.url))
    await remotes[0].line("is ready")
    command_id = await count(caller, 1000, 50)
    while not (await status(caller, command_id, wait=5))["reply"]:
        pass
    assert await remotes[0].end(number) < 5
    seen = await asyncio.wait_for(ended(caller, command_id), 5)
    assert seen["state"] == "failed" and "signal SIGTERM" in seen["error"]
    assert seen["reply"] and text(1000).startswith(seen["reply"])


async def test_a_crash_is_mended(
    served: Host, root: Path, session: aiohttp.ClientSession, remotes: list[Remote]
) -> None:
    caller = Caller(session, served.url)
    remotes.append(await Remote.launch(root, "--host", served.url))
    await remotes[0].line("is ready")
    [module] = [
        one
        for one in psutil.Process(remotes[0].process.pid).children()
        if any("count_words" in part for part in one.cmdline())
    ]
    module.kill()
    await remotes[0].line("crashed: killed by SIGKILL (signal 9)")
    await remotes[0].line("is ready")
    assert (await ended(caller, await count(caller, 2, 1)))["reply"] == text(2)


async def test_a_frozen_module_is_launched_again(
    served: Host, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_file, "STOP_LADDER", StopLadder(0, 0.1, 0.4))
    [module] = load_settings(root).modules
    log, stop = LogRing(), asyncio.Event()
    host = RemoteHost([served.url])
    remote = RemoteModule(module, served.server, host, log, timing=Timing(silent_s=3.0))
    running = asyncio.create_task(remote.run(stop))

    async def said(words: str, times: int = 1) -> None:
        deadline_s = time.monotonic() + 30
        while sum(words in one.entry for one in log.list(0, 999)) < times:
            assert time.monotonic() < deadline_s, [one.entry for one in log.list(0, 999)]
            await asyncio.sleep(0.02)

    await said("is ready")
    launched = next(one.entry for one in log.list(0, 999) if one.entry.startswith("launched, pid"))
    psutil.Process(int(launched.split()[-1])).suspend()
    await said("hangs: it lives but has not spoken for 3 s")
    await said("is ready", times=2)
    stop.set()
    await running


async def test_no_host_is_said_at_once_and_tried_again(root: Path, remotes: list[Remote]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    remotes.append(await Remote.launch(root, "--host", f"127.0.0.1:{port}"))
    line = await remotes[0].line("no host for this module at")
    assert f"http://127.0.0.1:{port}" in line and "Trying again" in line
    settings = root / "modulesettings.json"
    settings.write_text(settings.read_text().replace('"Port": 0', f'"Port": {port}'))
    async with running_host(root) as late, aiohttp.ClientSession() as session:
        assert (await ended(caller := Caller(session, late.url), await count_soon(caller)))[
            "reply"
        ] == text(2)
        assert await remotes[0].end() < 5


async def count_soon(caller: Caller) -> str:
    """Start a command as soon as the host knows of an instance."""
    while not await instances(caller):  # noqa: ASYNC110 - nothing tells a client
        await asyncio.sleep(0.05)
    return await count(caller, 2, 1)


async def test_it_goes_on_through_the_death_of_its_host(
    root: Path, session: aiohttp.ClientSession, remotes: list[Remote]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    arguments = ("-m", "host", "serve", "--root", str(root), "--port", str(port))
    caller = Caller(session, f"http://127.0.0.1:{port}")

    async def serve() -> asyncio.subprocess.Process:
        host = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        assert host.stdout is not None
        while b"Stop:" not in await asyncio.wait_for(host.stdout.readline(), 30):
            pass
        return host

    hosts = [await serve()]
    try:
        remotes.append(await Remote.launch(root, "--host", caller.url))
        await remotes[0].line("is ready")
        command_id = await count(caller, 100, 30)
        while len((await status(caller, command_id, wait=5))["reply"]) < 50:
            pass
        hosts[0].kill()
        await hosts[0].communicate()
        await remotes[0].line("no host for this module")
        hosts.append(await serve())
        seen = await ended(caller, command_id)
        assert (seen["state"], seen["reply"]) == ("completed", text(100))
    finally:
        hosts[-1].terminate()
        await hosts[-1].communicate()


@asynccontextmanager
async def refusing(code: int) -> AsyncIterator[str]:
    """A host that lets nobody in."""

    async def refuse(request: web.Request) -> web.Response:
        error = f"got {request.headers.get('Authorization')}"
        return web.json_response({"success": False, "error": error}, status=code)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize(("code", "words"), [(401, "with --token"), (403, "Trying again")])
async def test_a_refusal_is_said_at_once(
    root: Path, remotes: list[Remote], code: int, words: str
) -> None:
    async with refusing(code) as url:
        remotes.append(await Remote.launch(root, "--host", url, "--token", "mine"))
        line = await remotes[0].line("does not let this module in")
        assert f"it answers {code}: got Bearer mine" in line and words in line
        assert await remotes[0].end() < 5


async def test_a_module_that_crashes_again_and_again_is_given_up(
    root: Path, remotes: list[Remote]
) -> None:
    script = root / "modules" / MODULE / "count_words_adapter.py"
    script.write_text("raise SystemExit('no such device')\n")
    """After pauses that grow, shortened here."""
    launched = await Remote.launch(root, "--host", "127.0.0.1:1", program=("-c", HASTY))
    remotes.append(launched)
    assert "launched again in 0.5 s" in await remotes[0].line("crashed: exit code 1")
    line = await remotes[0].line("llamachat: module")
    assert "crashed 5 times in a row" in line and "no such device" in line
    assert await remotes[0].process.wait() == 1


async def test_wrong_arguments_are_said_plainly(root: Path, remotes: list[Remote]) -> None:
    remotes.append(await Remote.launch(root, "--host", "x", "--instances", "none"))
    line = await remotes[0].line("argument --instances")
    assert "expected a number from 1 on" in line


def test_ids_name_the_machine_and_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.node", lambda: "gpu box/7")
    first, second = new_id(), new_id()
    assert first.startswith("gpu-box-7-") and first != second


def test_the_hosts_addresses_are_completed() -> None:
    env = RemoteHost(["gpu:32168", "https://b/"], "t").environment()
    assert env["CPAI_HOST_URL"] == "http://gpu:32168"
    assert env["CPAI_HOST_URLS"] == "https://b"
    assert env["CPAI_API_TOKEN"] == "t"
    assert "CPAI_API_TOKEN" not in RemoteHost(["gpu"]).environment()
    assert os.environ.get("CPAI_HOST_URL") is None
