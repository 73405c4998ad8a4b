"""A build of llama.cpp that dies in its first decode: the module serves all the same, says what it
gave up for that, and is itself again after the repair. And an engine that dies later."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import build_proof
import pytest
from chat import ROOT, Chat

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(os.name != "posix", reason="about signals"),
]

BROKEN_BUILD = Path(__file__).with_name("broken_build")


async def module_of(chat: Chat) -> dict[str, Any]:
    """LlamaChat's entry of the status list."""
    _, body = await chat.call("GET", "/v1/module/list/status")
    [status] = [one for one in body["statuses"] if one["moduleId"] == "LlamaChat"]
    return dict(status)


@pytest.fixture(autouse=True)
def proven() -> None:
    """The build itself is proven, or the module would prove the broken one when it starts."""
    assert (build_proof.current_proof() or build_proof.prove()).ok


async def answered(chat: Chat, command_id: str) -> str:
    status = await chat.ended(command_id)
    assert status["state"] == "completed", status
    return str(status["reply"])


@pytest.mark.parametrize("how", ["SIGSEGV", "SIGILL"])
async def test_a_broken_build_serves_in_safe_mode_until_it_is_repaired(
    launch: Any, tmp_path: Path, how: str
) -> None:
    build = tmp_path / "build"
    build.write_text(how, encoding="utf-8")
    chat: Chat = await launch(PYTHONPATH=str(BROKEN_BUILD), BROKEN_BUILD=str(build))
    ask = {"prompt": "What can you do?", "temperature": 0}
    reply = await answered(chat, await chat.begin(**ask))  # posted before anybody knew
    module = await module_of(chat)
    assert (module["status"], module["restarts"]) == ("Started", 1)
    told = module["safeMode"]
    assert told == module["statusData"]["safeMode"]
    assert told["gaveUp"][:2] == ["extra buffer types", "flash attention"]
    assert f"its usual launch failed: killed by {how}" in told["reason"]
    assert f"./install.sh in {ROOT}" in told["remedy"]
    assert module["statusData"]["engine"]["sequences"] == 1
    log = [entry.entry for entry in chat.host.log.list(0, 1_000)]
    assert any(one.startswith("started (safe mode)") and how in one for one in log)
    assert any(one.startswith("Safe mode, without extra buffer types") for one in log)

    build.unlink()
    await chat.host.supervisor.restart("LlamaChat")
    assert await answered(chat, await chat.begin(**ask)) == reply
    module = await module_of(chat)
    assert (module["status"], module["restarts"], module["safeMode"]) == ("Started", 1, None)
    assert module["statusData"]["engine"]["sequences"] > 1


async def test_a_dead_engine_thread_ends_the_process_and_the_next_one_replies(
    launch: Any, tmp_path: Path
) -> None:
    build = tmp_path / "build"
    chat: Chat = await launch(PYTHONPATH=str(BROKEN_BUILD), BROKEN_BUILD=str(build))
    ask = {"prompt": "What can you do?", "temperature": 0}
    reply = await answered(chat, await chat.begin(**ask))
    pid = (await module_of(chat))["pid"]
    build.write_text("end of the thread", encoding="utf-8")
    assert await answered(chat, await chat.begin(**ask)) == reply, "from the next process"
    module = await module_of(chat)
    assert module["pid"] != pid and module["restarts"] == 1
    assert module["safeMode"] is None, "it was ready: that was no fault of the build"
    log = [entry.entry for entry in chat.host.log.list(0, 1_000)]
    assert any("giving up: the engine's thread has ended" in one for one in log)
