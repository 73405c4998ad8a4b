"""A protocol-2 host in memory, for the SDK's tests: it keeps what modules say and misbehaves on
demand.

Invariant: it follows the wire to the letter (offsets, attempts, one answer per progress report), so
what a test finds here is what a real host would have in its store.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web
from loopback import LoopbackServer, payload

POLL_S = 0.5

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class HostCommand:
    """One command, as the host sees it."""

    command_id: str
    attempt: str
    payload: dict[str, Any]
    is_long: bool
    text: str = ""
    lengths: list[int] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    answers: list[dict[str, Any]] = field(default_factory=list)
    was_claimed: bool = False

    @property
    def answer(self) -> dict[str, Any] | None:
        return self.answers[-1] if self.answers else None


class FakeHost(LoopbackServer):
    def __init__(self, protocol: int = 2) -> None:
        super().__init__()
        self.protocol = protocol
        self.commands: dict[str, HostCommand] = {}
        self.statuses: list[dict[str, Any]] = []
        self.logs: list[dict[str, str]] = []
        self.progress_reports: list[dict[str, Any]] = []
        self.progress_times_s: list[float] = []
        self.most_progress_at_once = 0
        self.queries: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.cancel_in_reply: list[str] = []
        self.faults: deque[str] = deque()
        """For the next progress reports: "unavailable" or "lost" (taken in, answer lost)."""
        self.refusal = 0
        """The HTTP status that every request gets instead of an answer; 0: none."""
        self._work: asyncio.Queue[HostCommand] = asyncio.Queue()
        self._controls: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._numbers = itertools.count(1)
        self._progress_at_once = 0

    def describe(self) -> str:
        return f"commands {self.commands}; last status {self.statuses[-1:]}"

    # What a test does ---------------------------------------------------------------------------

    def post(self, command: str = "test", *, is_long: bool = True, **values: object) -> HostCommand:
        """A client's command, put into the queue."""
        number = next(self._numbers)
        item = HostCommand(f"id{number}", f"try{number}", payload(command, **values), is_long)
        self.commands[item.command_id] = item
        self._work.put_nowait(item)
        return item

    def cancel(self, command: HostCommand) -> None:
        self._controls.put_nowait({"type": "cancel", "commandId": command.command_id})

    def drain(self) -> None:
        self._controls.put_nowait({"type": "drain"})

    def quit(self) -> None:
        self._controls.put_nowait({"type": "quit"})

    def ask(self, command: str, **values: object) -> HostCommand:
        """A system command over the control poll."""
        item = HostCommand(f"ask{next(self._numbers)}", "", payload(command, **values), False)
        self.commands[item.command_id] = item
        self._controls.put_nowait(
            {"type": "request", "reqid": item.command_id, "payload": item.payload}
        )
        return item

    async def finished(self, command: HostCommand) -> dict[str, Any]:
        result: dict[str, Any] = await self.until(lambda: command.result, f"end of {command}")
        return result

    async def answered(self, command: HostCommand) -> dict[str, Any]:
        answer: dict[str, Any] = await self.until(lambda: command.answer, f"answer to {command}")
        return answer

    # What a module does -------------------------------------------------------------------------

    def make_app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 2**20, middlewares=[self._refuse])
        app.router.add_get("/v1/status/ping", self._ping)
        app.router.add_post("/v1/log", self._log)
        app.router.add_post("/v1/queue/updatemodulestatus/{module}", self._status)
        app.router.add_get("/v1/queue/{name}", self._poll)
        app.router.add_post("/v1/queue/{reqid}", self._answer)
        app.router.add_post("/v1/modules/{module}/progress", self._progress)
        app.router.add_get("/v1/modules/{module}/control", self._control)
        return app

    @web.middleware
    async def _refuse(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self.refusal:
            body = {"success": False, "error": "this host refuses"}
            return web.json_response(body, status=self.refusal)
        return await handler(request)

    async def _ping(self, _: web.Request) -> web.Response:
        version = {"major": 0, "minor": 1, "patch": 0}
        return web.json_response({"success": True, "version": version, "protocol": self.protocol})

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
        self.queries.append(dict(request.query))
        self.headers.append(dict(request.headers))
        try:
            item = await asyncio.wait_for(self._work.get(), POLL_S)
        except asyncio.TimeoutError:
            return web.Response(status=204)
        item.was_claimed = True
        self.changed()
        return web.json_response(
            {
                "reqid": item.command_id,
                "reqtype": item.payload["command"],
                "payload": item.payload,
                "attempt": item.attempt,
                "longProcess": item.is_long,
            }
        )

    async def _answer(self, request: web.Request) -> web.Response:
        item = self.commands.get(request.match_info["reqid"])
        if item is None:
            return web.json_response({"success": False, "error": "unknown"}, status=400)
        if request.query.get("attempt", "") != item.attempt:
            return web.json_response({"success": False, "error": "stale"}, status=409)
        answer = json.loads(await request.read())
        item.answers.append(answer)
        if item.is_long:
            item.result = answer
        self.changed()
        return web.json_response({"success": True})

    async def _control(self, request: web.Request) -> web.Response:
        try:
            control = await asyncio.wait_for(self._controls.get(), POLL_S)
        except asyncio.TimeoutError:
            return web.Response(status=204)
        return web.json_response({"controls": [control]})

    async def _progress(self, request: web.Request) -> web.Response:
        self._progress_at_once += 1
        self.most_progress_at_once = max(self.most_progress_at_once, self._progress_at_once)
        try:
            return await self._take_progress(request)
        finally:
            self._progress_at_once -= 1
            self.changed()

    async def _take_progress(self, request: web.Request) -> web.Response:
        report = await request.json()
        fault = self.faults.popleft() if self.faults else ""
        if fault == "unavailable":
            return web.json_response({"success": False, "error": "away"}, status=503)
        self.progress_reports.append(report)
        self.progress_times_s.append(asyncio.get_running_loop().time())
        receipts = [self._take_in(entry) for entry in report["commands"]]
        if fault == "lost":
            return web.json_response({"success": False, "error": "lost"}, status=503)
        cancel, self.cancel_in_reply = self.cancel_in_reply, []
        return web.json_response({"success": True, "cancel": cancel, "commands": receipts})

    def _take_in(self, entry: dict[str, Any]) -> dict[str, Any]:
        command_id = entry["commandId"]
        item = self.commands.get(command_id)
        if item is None or item.attempt != entry["attempt"] or item.result is not None:
            error = "unknown, ended or claimed anew"
            return {"commandId": command_id, "accepted": False, "offset": 0, "error": error}
        if entry["offset"] <= len(item.text):
            item.text += entry["text"][len(item.text) - entry["offset"] :]
            item.fields |= entry["fields"]
            item.result = entry.get("result")
        if not item.lengths or item.lengths[-1] != len(item.text):
            item.lengths.append(len(item.text))
        return {"commandId": command_id, "accepted": True, "offset": len(item.text)}
