"""docs/api.md: each of its requests is sent to a real host, each answer has what the page shows."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from blocks import assert_shape, blocks
from chat_request import ChatRequest
from llama_engine.chat.messages import read_messages
from llama_engine.chat.tools import read_tools
from puppet import Caller, running_host

from host.settings import ServerSettings
from sdk import RequestData

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "http://127.0.0.1:32168"
BLOCKS = blocks("api.md")
MODULE = {"moduleId": "LlamaChat", "instanceId": "p1"}


@pytest.fixture
async def chat(tmp_path: Path) -> AsyncIterator[Caller]:
    """A host with LlamaChat's own settings; the test is its module."""
    folder = tmp_path / "modules" / "LlamaChat"
    folder.mkdir(parents=True)
    own = ROOT / "modules" / "LlamaChat" / "modulesettings.json"
    (folder / "modulesettings.json").write_bytes(own.read_bytes())
    settings = {
        "Server": {"Port": 0, "Store": "memory", "DataDir": "data"},
        "Modules": {"LlamaChat": {"LaunchSettings": {"AutoStart": False}}},
    }
    (tmp_path / "modulesettings.json").write_text(json.dumps(settings), encoding="utf-8")
    async with running_host(tmp_path) as host, aiohttp.ClientSession() as session:
        yield Caller(session, host.url)


async def take(chat: Caller, wait: int) -> dict[str, Any]:
    query = {**MODULE, "protocol": "2", "wait": str(wait)}
    return (await chat.call("GET", "/v1/queue/llamachat_queue", params=query))[1]


async def curl(chat: Caller, command: str) -> dict[str, Any]:
    arguments = [*shlex.split(command.replace(ADDRESS, chat.url)), "-s", "-S"]
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err
    return dict(json.loads(out))


def filled(value: Any, work: dict[str, Any]) -> Any:
    """A shown value with the ids of a command that is really there."""
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(text.replace("8f2c…", work["reqid"]).replace("51ab…", work["attempt"]))


async def test_every_block(chat: Caller) -> None:
    # a further one wants its lines here
    origins, start, messages, status, pieces, stats, progress, receipt = BLOCKS
    server = ServerSettings.model_validate({**origins.value["Server"], "root_path": ROOT})
    assert server.allowed_origins == origins.value["Server"]["AllowedOrigins"]
    await take(chat, 0)  # it is there: the host takes commands for it

    started = await curl(chat, start.commands[0])
    assert_shape(start.value, started)
    work = await take(chat, 5)
    report = filled(progress.value, {**work, "reqid": work["reqid"]})
    (item,) = report["commands"]
    first = {key: item[key] for key in ("commandId", "attempt")}
    first |= {"offset": 0, "text": status.value["delta"]}
    path = "/v1/modules/LlamaChat/progress"
    await chat.post(path, {"commands": [first]}, params=MODULE)

    asked = await curl(chat, status.commands[0].replace("8f2c…", started["commandId"]))
    assert_shape(status.value, asked)
    assert asked["delta"] == status.value["delta"]
    assert asked["nextOffset"] == status.value["nextOffset"]

    assert_shape(stats.value, (await chat.call("GET", "/v1/stats"))[1])

    await chat.post("/v1/LlamaChat/cancel_command", {"commandId": started["commandId"]})
    answer = await chat.post(path, report, params=MODULE)
    assert_shape(filled(receipt.value, work), answer | {"cancel": [work["reqid"]]})
    assert answer["commands"][0]["accepted"]
    ended = await chat.post("/v1/LlamaChat/get_command_status", {"commandId": work["reqid"]})
    assert ended["state"] == "completed" and ended["reply"].endswith(item["text"])

    await curl(chat, start.commands[0])
    second = await take(chat, 5)
    shown = pieces.value["pieces"]
    said = {
        "offset": 0,
        "pieces": [{**one, "offset": 0} for one in shown],
        "attempt": second["attempt"],
    }
    await chat.post(path, {"commands": [{"commandId": second["reqid"], **said}]}, params=MODULE)
    following = await curl(chat, pieces.commands[0].replace("8f2c…", second["reqid"]))
    assert_shape(pieces.value, following)
    assert following["pieces"] == shown
    assert following["nextSequence"] == pieces.value["nextSequence"]

    await chat.post("/v1/text/chat", messages.value)
    asked_for = ChatRequest.from_data(RequestData(json.dumps(await take(chat, 5))))
    assert read_messages(asked_for.messages)[2]["name"] == "weather"
    assert list(read_tools(asked_for.options).parameters) == ["weather"]
