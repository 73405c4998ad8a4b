"""Ask, watch the answer grow, stop it: with a real module on a real llama.cpp."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from chat import Chat
from test_events import follow, read_events, text_of

from host.processes.supervision import RestartPolicy, Timing

pytestmark = pytest.mark.asyncio(loop_scope="module")


SAID = [
    {"role": "user", "content": [{"type": "text", "text": "Tell me"}]},
    {"role": "assistant", "content": "What?"},
    {"role": "user", "content": "All"},
]


async def test_the_guide_says_what_it_can_do(launch: Any) -> None:
    chat: Chat = await launch()
    status = await chat.ended(await chat.begin("What can you do?", temperature=0))
    assert (status["state"], status["stop_reason"]) == ("completed", "completed")
    assert len(status["reply"]) > 40 and "question" in status["reply"].lower()


async def test_every_kind_of_post_gets_an_id_at_once_and_the_reply_grows(
    slow_chat: Chat,
) -> None:
    values = {"prompt": "Tell me", "max_tokens": "100"}
    bodies: list[dict[str, Any]] = [
        {"data": aiohttp.FormData(values, default_to_multipart=True)},
        {"data": values},
        {"json": {**values, "max_tokens": 100}},
        {"json": {"messages": SAID, "max_tokens": 100}},
    ]
    for body in bodies:
        code, started = await slow_chat.call("POST", "/v1/text/chat", **body)
        assert code == 200 and started["success"] and started["commandId"]
        assert started["commandStatus"] in ("queued", "running") and started["reply"] == ""
        seen = await slow_chat.follow(started["commandId"])
        lengths = {status["nextOffset"] for status in seen}
        assert len(lengths) >= 10, lengths
        last = seen[-1]
        assert "".join(status["delta"] for status in seen) == last["reply"]
        assert last["stop_reason"] == "length" and last["completionTokens"] == 100
        assert last["processMs"] >= last["inferenceMs"] > 0
        assert last["promptTokens"] == last["promptTokensProcessed"] > 0
        assert last["tokensPerSecond"] > 0


async def test_a_dropped_event_stream_resumes_with_the_same_text(slow_chat: Chat) -> None:
    command_id = await slow_chat.begin("Tell me", max_tokens=60)
    url = f"{slow_chat.url}/v1/commands/{command_id}/events"
    begun = []
    async with slow_chat.session.get(url) as response:
        async for event in read_events(response):
            begun.append(event)
            if event[0] > 30:
                break
    last_id = str(begun[-1][0])
    rest = await follow(slow_chat, command_id, **{"Last-Event-ID": last_id})
    status = await slow_chat.status(command_id)
    assert text_of(begun) + text_of(rest) == status["reply"]
    assert rest[-1][2]["reply"] == status["reply"]


async def test_three_together_and_the_answers_of_cancel(slow_chat: Chat) -> None:
    started = await asyncio.gather(
        *(slow_chat.start(f"Tell me {n}", max_tokens=60, temperature=1) for n in range(3))
    )
    ids = [one["commandId"] for one in sorted(started, key=lambda one: one["queuePosition"])]
    statuses = [await slow_chat.growing(ids[0])]
    statuses += [await slow_chat.status(one) for one in ids[1:]]
    assert [one["queuePosition"] for one in statuses] == [0, 1, 2]
    ended = await asyncio.gather(*(slow_chat.ended(one) for one in ids))
    assert all(one["state"] == "completed" for one in ended)
    assert len({one["reply"] for one in ended}) == 3
    assert (await slow_chat.cancel(ids[0]))["cancel"] == "already finished"
    assert (await slow_chat.status(ids[0]))["reply"] == ended[0]["reply"]


async def test_four_at_once_and_the_fifth_waits(launch: Any, slow_model: Path) -> None:
    chat: Chat = await launch(slow_model, CPAI_MODULE_PARALLELISM="4")
    ids = [await chat.begin(f"Tell me {n}", max_tokens=4000) for n in range(5)]
    for one in ids[:4]:
        await chat.growing(one, 20)
    statuses = [await chat.status(one) for one in ids]
    assert [one["queuePosition"] for one in statuses] == [0, 0, 0, 0, 1]
    assert statuses[4]["reply"] == ""
    for one in ids[:4]:
        await chat.cancel(one)
    await chat.growing(ids[4], 20)
    await chat.cancel(ids[4])
    ended = [await chat.ended(one) for one in ids]
    assert all(one["state"] == "cancelled" and len(one["reply"]) >= 20 for one in ended)


async def test_cancelling_frees_the_module(slow_chat: Chat) -> None:
    first, second, third = [
        await slow_chat.begin(f"Tell me {n}", max_tokens=tokens)
        for n, tokens in enumerate((4000, 4000, 10))
    ]
    await slow_chat.growing(first, 20)
    assert (await slow_chat.cancel(second))["state"] == "cancelled"
    begun = time.monotonic()
    assert (await slow_chat.cancel(first))["cancel"] == "requested"
    stopped = await slow_chat.ended(first)
    assert (stopped["state"], stopped["stop_reason"]) == ("cancelled", "cancelled")
    status = await slow_chat.status(third, wait=20)
    while status["state"] == "queued":
        status = await slow_chat.status(third, wait=20)
    assert time.monotonic() - begun < 1
    assert (await slow_chat.cancel(first))["cancel"] == "cancelled"
    last = await slow_chat.ended(third)
    assert last["state"] == "completed" and last["completionTokens"] == 10
    assert len((await slow_chat.status(first))["reply"]) >= 20
    code, reply = await slow_chat.call(
        "POST", "/v1/LlamaChat/cancel_command", json={"commandId": "unknown"}
    )
    assert code == 404 and "no command" in reply["error"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_a_killed_module_says_so_and_comes_back(slow_chat: Chat) -> None:
    command_id = await slow_chat.begin("Tell me", max_tokens=4000)
    partial = (await slow_chat.growing(command_id, 20))["reply"]
    pid = slow_chat.host.supervisor.state("LlamaChat").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    status = await slow_chat.ended(command_id)
    assert (status["state"], status["success"]) == ("failed", False)
    assert "SIGKILL" in status["error"] and status["reply"].startswith(partial)
    again = await slow_chat.ended(await slow_chat.begin("Tell me", max_tokens=5))
    assert again["state"] == "completed"
    assert slow_chat.host.supervisor.state("LlamaChat").pid != pid


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_stopping_the_host_leaves_no_process(launch: Any, slow_model: Path) -> None:
    chat: Chat = await launch(slow_model, CPAI_MODULE_PARALLELISM="1")
    await chat.growing(await chat.begin("Tell me", max_tokens=4000))
    pid = chat.host.supervisor.state("LlamaChat").pid
    assert pid is not None
    begun = time.monotonic()
    await chat.host.stop()
    assert time.monotonic() - begun < 5
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"prompt": ""}, "prompt"),
        ({}, "prompt"),
        ({"prompt": "x", "max_tokens": "abc"}, "max_tokens"),
        ({"prompt": "x", "temperature": -1}, "temperature"),
    ],
)
async def test_bad_input_is_refused_at_the_start(
    launch: Any, values: dict[str, Any], error: str
) -> None:
    chat: Chat = await launch()
    code, reply = await chat.call("POST", "/v1/text/chat", json=values)
    assert code == 400 and reply["error"].startswith(error)


def half_of(model: Path, folder: Path) -> Path:
    """The first half of a GGUF."""
    whole = model.read_bytes()
    (folder / "half.gguf").write_bytes(whole[: len(whole) // 2])
    return folder / "half.gguf"


def a_text(model: Path, folder: Path) -> Path:
    """A text with the name of a model."""
    (folder / "text.gguf").write_text("This is no model.", encoding="utf-8")
    return folder / "text.gguf"


def nothing(model: Path, folder: Path) -> Path:
    """A model in a directory that is not there."""
    return folder / "nowhere" / "model.gguf"


@pytest.mark.parametrize(
    ("broken", "error"), [(half_of, "cut short"), (a_text, "not a GGUF"), (nothing, "nowhere")]
)
async def test_a_model_that_does_not_load_fails_every_command(
    launch: Any, slow_model: Path, tmp_path: Path, broken: Any, error: str
) -> None:
    chat: Chat = await launch(broken(slow_model, tmp_path))
    for _ in range(2):
        status = await chat.ended(await chat.begin("Anyone?"))
        assert (status["state"], status["success"]) == ("failed", False)
        assert error.lower() in status["error"].lower(), status["error"]
    _, listed = await chat.call("GET", "/v1/module/list/status")
    assert error.lower() in listed["statuses"][0]["reason"].lower()
    _, log = await chat.call("GET", "/v1/log/list?count=100")
    assert any(error.lower() in one["entry"].lower() for one in log["entries"])


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
async def test_a_module_killed_while_it_loads_says_so(launch: Any, slow_model: Path) -> None:
    timing = Timing(restarts=RestartPolicy(max_failures=2, first_pause_s=0.01))
    chat: Chat = await launch(slow_model, timing=timing)
    ids = [await chat.begin("Anyone?") for _ in range(2)]
    killed: set[int] = set()
    while len(killed) < 2:
        _, listed = await chat.call("GET", "/v1/module/list/status")
        pid = listed["statuses"][0]["pid"]
        if (
            pid
            and pid not in killed
            and listed["statuses"][0]["statusData"].get("state") == "loading"
        ):
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
    for command_id in ids:
        status = await chat.ended(command_id)
        assert status["state"] == "failed" and "killed by SIGKILL" in status["error"]
    _, listed = await chat.call("GET", "/v1/module/list/status")
    assert listed["statuses"][0]["status"] == "Crashed"
    assert "killed by SIGKILL" in listed["statuses"][0]["reason"]
    _, log = await chat.call("GET", "/v1/log/list?count=100")
    assert any("killed by SIGKILL" in one["entry"] for one in log["entries"])
    code, refused = await chat.call("POST", "/v1/text/chat", json={"prompt": "Anyone?"})
    assert code == 503 and "killed by SIGKILL" in refused["error"]
