"""A client of the chat, for tests: every request goes over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
from puppet import Caller

from host.app import Host

ROOT = Path(__file__).resolve().parents[2]
Status = dict[str, Any]


class Chat(Caller):
    """Talks to the LlamaChat module of a running host."""

    def __init__(self, session: aiohttp.ClientSession, host: Host) -> None:
        super().__init__(session, host.url)
        self.host = host

    async def start(self, prompt: str, **values: Any) -> Status:
        return await self.post("/v1/text/chat", {"prompt": prompt, **values})

    async def begin(self, prompt: str, **values: Any) -> str:
        return str((await self.start(prompt, **values))["commandId"])

    async def status(self, command_id: str, **values: Any) -> Status:
        return await self.post(
            "/v1/LlamaChat/get_command_status", {"commandId": command_id, **values}
        )

    async def cancel(self, command_id: str) -> Status:
        return await self.post("/v1/LlamaChat/cancel_command", {"commandId": command_id})

    async def follow(self, command_id: str) -> list[Status]:
        """Every status on the way to the end, by waiting polls."""
        seen: list[Status] = []
        offset = 0
        while not seen or seen[-1]["state"] in ("queued", "running"):
            seen.append(await self.status(command_id, offset=offset, wait=20))
            offset = seen[-1]["nextOffset"]
        seen[-1]["reply"] = (await self.status(command_id))["reply"]
        return seen

    async def ended(self, command_id: str) -> Status:
        return (await self.follow(command_id))[-1]

    async def growing(self, command_id: str, characters: int = 1) -> Status:
        """Wait until the reply has that many characters."""
        status = await self.status(command_id, wait=20)
        while len(status["reply"]) < characters:
            assert status["state"] in ("queued", "running"), status
            await self.status(command_id, offset=len(status["reply"]), wait=20)
            status = await self.status(command_id)
        return status
