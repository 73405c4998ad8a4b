"""The command line, as its own process, against real hosts and a real module."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from puppet import Puppet, running_host, write_root

from host.app import Host

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "minimal_long_process"


async def llamachat(*arguments: str, **env: str) -> asyncio.subprocess.Process:
    """The command in a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "host", *arguments),
        cwd=ROOT,
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )


async def result(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    """Wait for its end: code, output, errors."""
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[tuple[Host, Puppet]]:
    """A host whose text/chat is served by the puppet."""
    write_root(tmp_path)
    file = tmp_path / "modules" / "Puppet" / "modulesettings.json"
    file.write_text(file.read_text().replace("text/tell", "text/chat"), encoding="utf-8")
    async with running_host(tmp_path) as host, aiohttp.ClientSession() as session:
        puppet = Puppet(session, host.url)
        await puppet.poll(wait=0)
        yield host, puppet


async def test_ask_prints_the_reply_as_it_grows(chat: tuple[Host, Puppet]) -> None:
    host, puppet = chat
    process = await llamachat("ask", "Who?", "--max-tokens", "5", "--url", host.url)
    work = await puppet.take()
    values = {one["key"]: one["value"] for one in work["payload"]["values"]}
    assert values == {"prompt": ["Who?"], "max_tokens": ["5"]}
    await puppet.progress(work, 0, "It is ")
    assert process.stdout is not None
    assert await process.stdout.readexactly(6) == b"It is "
    await puppet.finish(work, 6, "I.")
    code, out, _ = await result(process)
    assert (code, out) == (0, "I.\n")


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_ctrl_c_cancels_and_exits_130(chat: tuple[Host, Puppet]) -> None:
    host, puppet = chat
    process = await llamachat("ask", "Who?", "--url", host.url)
    work = await puppet.take()
    await puppet.progress(work, 0, "part")
    assert process.stdout is not None
    await process.stdout.readexactly(4)
    process.send_signal(signal.SIGINT)
    assert await puppet.control() == [{"type": "cancel", "commandId": work["reqid"]}]
    code, _, err = await result(process)
    assert code == 130 and "cancelled" in err


async def test_a_failed_command_says_why(chat: tuple[Host, Puppet]) -> None:
    host, puppet = chat
    process = await llamachat("ask", "Who?", "--url", host.url)
    work = await puppet.take()
    await puppet.progress(work, 0, "so", result={"success": False, "error": "it broke"})
    code, out, err = await result(process)
    assert (code, out) == (1, "so\n") and "it broke" in err


async def test_no_host_is_said_plainly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    for arguments in (["ask", "Who?"], ["status"]):
        code, _, err = await result(await llamachat(*arguments, "--url", url))
        assert code == 1 and "llamachat serve" in err and "Traceback" not in err


async def test_a_port_in_use_is_said_plainly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        arguments = ["serve", "--root", str(write_root(tmp_path)), "--port", port]
        code, _, err = await result(await llamachat(*arguments))
    assert code == 1 and f"port {port}" in err and "in use" in err


async def test_a_wrong_settings_file_is_said_plainly(tmp_path: Path) -> None:
    write_root(tmp_path, Port="many")
    code, _, err = await result(await llamachat("serve", "--root", str(tmp_path)))
    assert code == 1 and "Server.Port" in err and "many" in err and "Traceback" not in err


async def test_a_port_that_is_none_is_said_plainly(tmp_path: Path) -> None:
    arguments = ["serve", "--root", str(write_root(tmp_path)), "--port", "99999"]
    code, _, err = await result(await llamachat(*arguments))
    assert code == 2 and "expected a port from 0 to 65535, got '99999'" in err


async def test_a_root_with_nothing_in_it_is_refused(tmp_path: Path) -> None:
    code, out, err = await result(await llamachat("serve", "--root", str(tmp_path / "nonexist")))
    assert (code, out) == (1, "") and "nonexist: expected a folder with modulesettings.json" in err


@pytest.mark.skipif(sys.platform == "win32", reason="pipes")
async def test_a_reply_that_nobody_reads_any_more_is_cancelled(chat: tuple[Host, Puppet]) -> None:
    host, puppet = chat
    process = await llamachat("ask", "Who?", "--url", host.url)
    work = await puppet.take()
    await puppet.progress(work, 0, "part")
    assert process.stdout is not None and process.stderr is not None
    await process.stdout.readexactly(4)
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined] # as `head` does
    await puppet.progress(work, 4, " and more")
    assert await puppet.control() == [{"type": "cancel", "commandId": work["reqid"]}]
    err = (await process.stderr.read()).decode()
    assert await process.wait() == 141 and "Traceback" not in err and "BrokenPipe" not in err


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_serve_runs_a_module_and_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "modules" / EXAMPLE.name)
    own = {"Server": {"Port": 0, "DataDir": "data"}}
    (tmp_path / "modulesettings.json").write_text(json.dumps(own), encoding="utf-8")
    process = await llamachat("serve", "--root", str(tmp_path))
    assert process.stdout is not None
    lines = [(await process.stdout.readline()).decode() for _ in range(5)]
    url = next(line.split()[1] for line in lines if "Explorer:" in line).rstrip("/")
    assert "minimal_long_process; none that chats" in "".join(lines)  # nothing to curl
    async with aiohttp.ClientSession() as session:
        values = {"words": 3, "delay_ms": 1}
        async with session.post(f"{url}/v1/example/count-words", json=values) as response:
            command_id = (await response.json())["commandId"]
        events = f"{url}/v1/commands/{command_id}/events"
        async with session.get(events) as response:
            last = (await response.text()).strip().splitlines()[-1]
        assert json.loads(last.removeprefix("data: "))["reply"] == "word1 word2 word3 "
        async with session.get(f"{url}/v1/module/list/status") as response:
            pid = (await response.json())["statuses"][0]["pid"]
    process.send_signal(number)
    code, _, err = await asyncio.wait_for(result(process), 5)
    assert code == 0, err
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
