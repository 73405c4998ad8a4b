"""A module whose every move the test makes, over real HTTP; and a client of the same host."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from host.app import Host
from host.settings import load_settings

MODULE = {
    "Name": "Puppet",
    "Version": "1.0",
    "LaunchSettings": {"AutoStart": False, "FilePath": "puppet.py", "Parallelism": 1},
    "RouteMaps": [
        {"Name": "Talk", "Route": "text/talk", "Method": "POST", "Command": "talk"},
        {
            "Name": "Tell",
            "Route": "text/tell",
            "Method": "POST",
            "Command": "tell",
            "LongProcess": True,
            "Inputs": [
                {"Name": "prompt", "Type": "Text", "Required": True},
                {"Name": "max_tokens", "Type": "Integer", "Minimum": 0},
                {"Name": "temperature", "Type": "Float", "Minimum": 0, "Maximum": 2},
                {"Name": "seed", "Type": "Integer", "Minimum": 0, "Maximum": 4294967294},
                {"Name": "aloud", "Type": "Boolean"},
                {"Name": "bias", "Type": "Text", "Json": "object"},
                {"Name": "voice", "Type": "Text", "Enum": ["low", "high"]},
                {"Name": "date", "Type": "Text", "Pattern": "[0-9]{4}-[0-9]{2}"},
            ],
        },
    ],
}


def write_root(root: Path, launch: dict[str, Any] | None = None, **server: Any) -> Path:
    """A deployment with the one module that nobody launches.

    `launch` are the deployment's own LaunchSettings of it, `server` its Server settings.
    """
    folder = root / "modules" / "Puppet"
    folder.mkdir(parents=True)
    settings = {"Modules": {"Puppet": MODULE}}
    (folder / "modulesettings.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "puppet.py").write_text("", encoding="utf-8")
    own: dict[str, Any] = {"Server": {"Port": 0, "DataDir": "data", **server}}
    if launch:
        own["Modules"] = {"Puppet": {"LaunchSettings": launch}}
    (root / "modulesettings.json").write_text(json.dumps(own), encoding="utf-8")
    return root


class Caller:
    """Requests to a host: `(status, body)` for each."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url

    async def call(self, method: str, path: str, **kwargs: Any) -> tuple[int, dict[str, Any]]:
        async with self.session.request(method, self.url + path, **kwargs) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else {}

    async def post(self, path: str, values: Any = None, **kwargs: Any) -> dict[str, Any]:
        status, body = await self.call("POST", path, json=values or {}, **kwargs)
        assert status == 200, body
        return body

    async def tell(self, prompt: str = "hello", **values: Any) -> str:
        """Start a long command; its id."""
        return str((await self.post("/v1/text/tell", {"prompt": prompt, **values}))["commandId"])

    async def status(self, command_id: str, **values: Any) -> dict[str, Any]:
        values["commandId"] = command_id
        return await self.post("/v1/Puppet/get_command_status", values)

    async def cancel(self, command_id: str) -> dict[str, Any]:
        return await self.post("/v1/Puppet/cancel_command", {"commandId": command_id})


@asynccontextmanager
async def caller_from(address: str, url: str) -> AsyncIterator[Caller]:
    """A client with an address of its own: all of 127.0.0.0/8 is this machine."""
    connector = aiohttp.TCPConnector(local_addr=(address, 0))
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Caller(session, url)


class Puppet(Caller):
    """The module's side; with `instance_id` it speaks protocol 2, without it protocol 1."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, instance_id: str | None = "p1"
    ) -> None:
        super().__init__(session, url)
        self.query = {"moduleId": "Puppet"}
        if instance_id:
            self.query["instanceId"] = instance_id

    async def poll(self, wait: float = 5) -> dict[str, Any] | None:
        """Ask for work; None for 204."""
        query = {**self.query, "wait": str(wait)}
        status, body = await self.call("GET", "/v1/queue/puppet_queue", params=query)
        assert status in (200, 204), body
        return body if status == 200 else None

    async def take(self) -> dict[str, Any]:
        work = await self.poll()
        assert work is not None
        return work

    async def answer(self, work: dict[str, Any], **body: Any) -> tuple[int, dict[str, Any]]:
        query = dict(self.query)
        if "attempt" in work:
            query["attempt"] = work["attempt"]
        data = json.dumps(body)  # as text/plain, the way the field's SDK sends it
        return await self.call("POST", f"/v1/queue/{work['reqid']}", params=query, data=data)

    async def progress(self, work: dict[str, Any], offset: int, text: str, **more: Any) -> Any:
        item = {"commandId": work["reqid"], "attempt": work["attempt"], "offset": offset}
        item.update(text=text, **more)
        path = "/v1/modules/Puppet/progress"
        reply = await self.post(path, {"commands": [item]}, params=self.query)
        return reply["commands"][0] | {"cancel": reply["cancel"]}

    async def finish(self, work: dict[str, Any], offset: int, text: str, **result: Any) -> Any:
        return await self.progress(work, offset, text, result={"success": True, **result})

    async def tell_status(self, **status: Any) -> tuple[int, dict[str, Any]]:
        """Say how it is, as the SDK does every two seconds."""
        path = "/v1/queue/updatemodulestatus/Puppet"
        data = {"statusData": json.dumps(status)}
        return await self.call("POST", path, params=self.query, data=data)

    async def control(self, wait: float = 5) -> list[dict[str, Any]]:
        query = {**self.query, "wait": str(wait)}
        _, body = await self.call("GET", "/v1/modules/Puppet/control", params=query)
        return list(body.get("controls", []))


@asynccontextmanager
async def running_host(root: Path, **parts: Any) -> AsyncIterator[Host]:
    """A host over the deployment in `root`, on a free port, with `parts` of its own."""
    host = Host(load_settings(root), **parts)
    await host.start()
    try:
        yield host
    finally:
        await host.stop()
