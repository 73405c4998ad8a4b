"""A minimal host that speaks part 1 of the protocol only, as hosts in the field do.

It has no commands of its own: a client's post waits until the module has answered it through the
queue, and status and cancel are posts like any other. Use it as an async context manager:

    async with Part1Host("LlamaChat") as host:      # host.port, host.url, host.environment(folder)
        started = await host.post("prompt", prompt="Hello")
        status = await host.status(started["commandId"])
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from loopback import DEADLINE_S, LoopbackServer, payload

POLL_S = 0.5
STATUS_EVERY_S = 0.02


class Part1Host(LoopbackServer):
    def __init__(self, module_id: str = "TestModule") -> None:
        super().__init__()
        self.module_id = module_id
        self.queue_name = f"{module_id.lower()}_queue"
        self.statuses: list[dict[str, Any]] = []
        self.logs: list[dict[str, str]] = []
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Part1Host:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def describe(self) -> str:
        return f"unanswered {list(self._answers)}; last status {self.statuses[-1:]}"

    def environment(self, module_path: Path, **more: str) -> dict[str, str]:
        """The environment for launching the module as such a host does."""
        return os.environ | {
            "CPAI_PORT": str(self.port),
            "CPAI_APPROOTPATH": str(module_path.parent),
            "CPAI_MODULE_SERVER_LAUNCHED": "true",
            "CPAI_MODULE_ID": self.module_id,
            "CPAI_MODULE_NAME": self.module_id,
            "CPAI_MODULE_PATH": str(module_path),
            "CPAI_MODULE_QUEUENAME": self.queue_name,
            "PYTHONUNBUFFERED": "1",
            **more,
        }

    # The client's side --------------------------------------------------------------------------

    async def post(self, command: str, **values: object) -> dict[str, Any]:
        """Posts one command and waits for the module's answer."""
        return await self.post_payload(payload(command, **values))

    async def post_payload(self, content: Mapping[str, Any]) -> dict[str, Any]:
        request_id = f"request-{next(self._numbers)}"
        answer = asyncio.get_running_loop().create_future()
        self._answers[request_id] = answer
        item = {"reqid": request_id, "reqtype": content.get("command"), "payload": dict(content)}
        self._queue.put_nowait(item)
        try:
            return await asyncio.wait_for(answer, DEADLINE_S)
        except asyncio.TimeoutError:
            raise AssertionError(f"no answer to {content}; {self.describe()}") from None
        finally:
            del self._answers[request_id]

    async def status(self, command_id: str) -> dict[str, Any]:
        return await self.post("get_command_status", commandId=command_id, moduleId=self.module_id)

    async def cancel(self, command_id: str) -> dict[str, Any]:
        return await self.post("cancel_command", commandId=command_id, moduleId=self.module_id)

    async def quit(self) -> dict[str, Any]:
        return await self.post("Quit", moduleId=self.module_id)

    async def status_when(
        self, command_id: str, fact: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        """Polls as the published page does, until `fact(status)`; returns that status."""
        end_s = asyncio.get_running_loop().time() + DEADLINE_S
        while not fact(status := await self.status(command_id)):
            if asyncio.get_running_loop().time() > end_s:
                raise AssertionError(f"never came; last status {status}")
            await asyncio.sleep(STATUS_EVERY_S)
        return status

    async def end_of(self, command_id: str) -> dict[str, Any]:
        """Polls to where the published page stops polling."""
        return await self.status_when(command_id, has_ended)

    # The module's side --------------------------------------------------------------------------

    def make_app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 2**20)
        for path in ("/v1/status/ping", "/v1/server/status/ping"):
            app.router.add_get(path, self._ping)
        for path in ("/v1/log", "/v1/log/"):
            app.router.add_post(path, self._log)
        app.router.add_post("/v1/queue/updatemodulestatus/{module}", self._status)
        app.router.add_get("/v1/queue/{name}", self._poll)
        app.router.add_post("/v1/queue/{reqid}", self._answer)
        return app

    async def _ping(self, _: web.Request) -> web.Response:
        version = {"major": 2, "minor": 6, "patch": 5}
        return web.json_response({"success": True, "message": "running", "version": version})

    async def _log(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.logs.append({key: str(value) for key, value in form.items()})
        self.changed()
        return web.json_response({"success": True})

    async def _status(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.statuses.append(json.loads(str(form["statusData"])))
        self.changed()
        return web.json_response({"success": True})

    async def _poll(self, request: web.Request) -> web.Response:
        if request.match_info["name"] != self.queue_name:
            return web.Response(status=204)
        try:
            return web.json_response(await asyncio.wait_for(self._queue.get(), POLL_S))
        except asyncio.TimeoutError:
            return web.Response(status=204)

    async def _answer(self, request: web.Request) -> web.Response:
        answer = self._answers.get(request.match_info["reqid"])
        if answer is None or answer.done():
            return web.json_response({"success": False, "error": "unknown id"}, status=400)
        answer.set_result(json.loads(await request.read()))
        return web.json_response({"success": True})


def has_ended(status: Mapping[str, Any]) -> bool:
    """Where the published page stops polling."""
    return not status["success"] or status.get("commandStatus") == "completed"
