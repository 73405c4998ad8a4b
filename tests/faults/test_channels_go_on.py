"""A command in three channels, and a host that is killed while it runs: whoever follows it, and in
whatever way, sees the same three texts."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
from hosts import REPO, UP_WITHIN_S, HostProcess, free_port

MODULE = "thinking_long_process"
START = "/v1/example/look-up"
ENDS = ("completed", "cancelled", "failed")
TEXTS = {
    "reply": "The Rhine is 1230000 metres long.",
    "reasoning": "The question is about the Rhine. A table has its length. "
    "The table says 1230000 metres. ",
    "tool_calls": '{"river": "Rhine"}',
}


def write_root(root: Path) -> None:
    shutil.copytree(REPO / "examples" / MODULE, root / "modules" / MODULE)
    settings = {
        "Server": {"Port": free_port(), "DataDir": "data", "Store": "local"},
        "Modules": {MODULE: {"LaunchSettings": {"AutoStart": False}}},
    }
    (root / "modulesettings.json").write_text(json.dumps(settings), encoding="utf-8")


@contextmanager
def module_elsewhere(root: Path, url: str) -> Iterator[None]:
    """It works on while its host is away."""
    command = [sys.executable, "-m", "host", "module", MODULE, "--host", url, "--root", str(root)]
    with open(root / "modules.log", "ab") as log:
        process = subprocess.Popen(command, cwd=REPO, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(UP_WITHIN_S)


class Reader:
    """What one reader has seen, and until where."""

    def __init__(self, session: aiohttp.ClientSession, url: str, command_id: str) -> None:
        self._session = session
        self._url = f"{url}/v1/commands/{command_id}"
        self.seen = dict.fromkeys(TEXTS, "")
        self.at = 0
        self.state = ""
        self.is_under_way = asyncio.Event()

    def saw(self, status: dict[str, Any], at: int) -> None:
        for piece in status.get("pieces", ()):
            self.seen[piece["channel"]] += piece["text"]
            assert TEXTS[piece["channel"]].startswith(self.seen[piece["channel"]])
        self.at, self.state = at, status["state"]
        if at > 30:
            self.is_under_way.set()

    async def by_polls(self) -> None:
        while self.state not in ENDS:
            values = {"sequence": str(self.at), "wait": "10"}
            with suppress(aiohttp.ClientError):
                async with self._session.get(self._url, params=values) as response:
                    if response.status == 200:
                        status = await response.json()
                        assert "reply" not in status
                        self.saw(status, status["nextSequence"])
            await asyncio.sleep(0.1)

    async def by_events(self) -> None:
        while self.state not in ENDS:
            headers = {"Last-Event-ID": str(self.at)}
            with suppress(aiohttp.ClientError):
                async with self._session.get(f"{self._url}/events", headers=headers) as response:
                    if response.status == 200:
                        await self._read_events(response)
            await asyncio.sleep(0.1)

    async def _read_events(self, response: aiohttp.ClientResponse) -> None:
        at = self.at
        async for line in response.content:
            if line.startswith(b"id: "):
                at = int(line[4:].rstrip().removesuffix(b"-done"))
            elif line.startswith(b"data: "):
                status = json.loads(line[6:])
                if "pieces" not in status:  # the reply alone
                    status["pieces"] = [{"channel": "reply", "text": status["delta"]}]
                self.saw(status, at)


async def started(session: aiohttp.ClientSession, url: str) -> str:
    """The id of a command, as soon as the module is there."""
    while True:
        values = {"river": "Rhine", "delay_ms": "30"}
        async with session.post(url + START, data=values) as response:
            answer = await response.json()
            if response.status == 200:
                return str(answer["commandId"])
        await asyncio.sleep(0.05)


async def test_three_texts_are_the_same_for_all(tmp_path: Path) -> None:
    write_root(tmp_path)
    host = HostProcess(tmp_path)
    await host.start()
    with ExitStack() as stack:
        stack.callback(host.stop)
        stack.enter_context(module_elsewhere(tmp_path, host.url))
        async with aiohttp.ClientSession() as session:
            command_id = await started(session, host.url)
            readers = [Reader(session, host.url, command_id) for _ in range(4)]
            follows = [
                one.by_polls() if n % 2 else one.by_events() for n, one in enumerate(readers)
            ]
            following = asyncio.gather(*follows)
            await asyncio.gather(*(one.is_under_way.wait() for one in readers))
            host.kill()
            await host.start()
            await asyncio.wait_for(following, 60)
            assert [one.seen for one in readers] == [TEXTS] * 4
            assert {one.state for one in readers} == {"completed"}
            async with session.get(f"{host.url}/v1/commands/{command_id}") as response:
                status = await response.json()
    assert (status["reply"], status["reasoning"]) == (TEXTS["reply"], TEXTS["reasoning"])
    call = {"index": 0, "name": "length_of", "arguments": TEXTS["tool_calls"]}
    assert status["toolCalls"] == [call]
