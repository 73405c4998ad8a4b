"""Real module processes: signals, quit, a dead host, the self-test, an end that surely comes."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import psutil
import pytest
from fake_host import FakeHost, HostCommand
from processes import END_S, ModuleProcess, environment

SCRIPT = Path(__file__).parent / "misbehaving.py"
QUICK_S = 3.5  # two seconds, and a busy machine's share

Launch: TypeAlias = Callable[..., Awaitable[ModuleProcess]]


@pytest.fixture
async def launch(host: FakeHost) -> AsyncIterator[Launch]:
    launched: list[ModuleProcess] = []

    async def start(*arguments: str, **more: str) -> ModuleProcess:
        env = environment(host.url, "TestModule", **more)
        launched.append(await ModuleProcess.launch(SCRIPT, env, *arguments))
        return launched[-1]

    yield start
    for process in launched:
        await process.kill()


async def begun(host: FakeHost, command: str) -> HostCommand:
    item = host.post(command)
    await host.until(lambda: item.text == "begun ")
    return item


async def ends_quickly(module: ModuleProcess) -> str:
    """The stderr of a module that ends with 0 within the time it has."""
    started_s = time.monotonic()
    exit_code, stderr = await module.end()
    assert exit_code == 0, stderr
    assert time.monotonic() - started_s < QUICK_S, stderr
    return stderr


async def test_quit_when_idle(host: FakeHost, launch: Launch) -> None:
    module = await launch()
    await host.until(lambda: host.statuses and host.statuses[-1]["state"] == "ready")
    host.quit()
    assert "cleaned up" in await ends_quickly(module)


@pytest.mark.parametrize("way", ["quit", "SIGTERM"])
async def test_the_end_reports_what_ran(host: FakeHost, launch: Launch, way: str) -> None:
    module = await launch()
    command = await begun(host, "obey")
    if way == "quit":
        host.quit()
    else:
        module.process.send_signal(signal.SIGTERM)
    assert "cleaned up" in await ends_quickly(module)
    assert command.text == "begun ended"
    assert command.result is None, "nobody wanted it to end: the host judges what becomes of it"
    goodbye = host.statuses[-1]
    assert goodbye["state"] == "stopped" and goodbye["commands"] == []


async def test_one_that_gives_up_leaves_what_it_has_to_its_host(
    host: FakeHost, launch: Launch
) -> None:
    module = await launch()
    running, last = await begun(host, "obey"), host.post("lose-heart")
    exit_code, stderr = await module.end()
    assert exit_code == 1 and "giving up: the device is lost" in stderr
    assert running.result is None and last.result is None


@pytest.mark.parametrize("command_name", ["get-stuck", "block-loop"])
async def test_the_end_comes_whatever_the_module_does(
    host: FakeHost, launch: Launch, command_name: str
) -> None:
    module = await launch()
    command = await begun(host, command_name)
    host.quit()
    stderr = await ends_quickly(module)
    assert "cleaned up" not in stderr
    assert command.result is None


async def test_a_host_that_does_not_answer_does_not_hold_up_the_end(
    host: FakeHost, launch: Launch
) -> None:
    module = await launch()
    await begun(host, "obey")
    await host.stop()
    module.process.send_signal(signal.SIGTERM)
    await ends_quickly(module)


async def test_ctrl_c_is_the_hosts_business(host: FakeHost, launch: Launch) -> None:
    module = await launch()
    command = await begun(host, "obey")
    module.process.send_signal(signal.SIGINT)
    host.cancel(command)
    await host.finished(command)
    await begun(host, "obey")  # it still works
    host.quit()
    await ends_quickly(module)


async def test_ctrl_c_ends_a_module_started_by_hand(host: FakeHost, launch: Launch) -> None:
    module = await launch(CPAI_MODULE_SERVER_LAUNCHED="false")
    await begun(host, "obey")
    module.process.send_signal(signal.SIGINT)
    await ends_quickly(module)


async def launched_by_parent(
    host: FakeHost, **more: str
) -> tuple[asyncio.subprocess.Process, HostCommand]:
    """A process that has launched the module, which works on a command."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import subprocess, sys; subprocess.Popen(sys.argv[1:]).wait()",
        sys.executable,
        str(SCRIPT),
        env=environment(host.url, "TestModule", **more),
        start_new_session=True,
    )
    return parent, await begun(host, "obey")


async def orphaned(parent: asyncio.subprocess.Process) -> psutil.Process:
    """The module, after the death of who had launched it."""
    (module,) = psutil.Process(parent.pid).children()
    parent.kill()
    await parent.wait()
    return module


async def test_it_ends_when_its_host_was_killed(host: FakeHost) -> None:
    parent, _ = await launched_by_parent(host)
    module = await orphaned(parent)
    try:
        await asyncio.to_thread(module.wait, END_S)
    finally:
        if module.is_running():
            module.kill()


async def test_on_a_shared_store_it_finishes_what_it_runs_first(host: FakeHost) -> None:
    parent, command = await launched_by_parent(host, CPAI_STORE_SHARED="true")
    module = await orphaned(parent)
    try:
        await host.until(lambda: host.statuses[-1]["state"] == "draining")
        assert command.result is None and module.is_running()
        host.cancel(command)  # one way for it to end
        assert (await host.finished(command))["stop_reason"] == "cancelled"
        assert command.text == "begun ended"
        await asyncio.to_thread(module.wait, END_S)
    finally:
        if module.is_running():
            module.kill()


async def test_the_selftest_passes(launch: Launch) -> None:
    module = await launch("--selftest")
    exit_code, stderr = await module.end()
    assert exit_code == 0 and "cleaned up" in stderr


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("bad-selftest", "two and two are five"),
        ("no-selftest", "selftest() returned None"),
        ("no-start", "FileNotFoundError: no model"),
    ],
)
async def test_the_selftest_fails_with_the_reason(launch: Launch, how: str, reason: str) -> None:
    module = await launch("--selftest", how)
    exit_code, stderr = await module.end()
    assert exit_code == 1 and f"TestModule self-test failed: {reason}" in stderr
