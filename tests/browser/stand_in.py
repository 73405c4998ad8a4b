"""A stand-in host for the browser tests: the explorer's real routes over scripted commands.

The explorer, its pages and the fragments are the real ones; behind them a test says itself what a
command does (`append`, `set`, `finish`, `fail`), so that it sees every state for as long as it
wants. Left alone (`is_manual = False`), a command streams a canned reply.
"""

import asyncio
import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from host.web.explorer import PAGES_PATH, ModulePage, add_explorer_routes, parse_fragment
from host.web.rendering import MarkdownRenderer, NotRendered

DEADLINE_S = 20.0
POLLS = "const POLL_MS = 2000;"  # in the page's script
CANNED_REPLY = "I am a **stand-in** and I answer one word after the other, slowly enough to watch."


class Command:
    """One scripted command; its methods may be called from the test's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, command_id: str, params: dict[str, str]):
        self.params = params
        self.is_cancelled = False
        self.polls = 0
        self._loop = loop
        self._changed = asyncio.Event()
        self.status: dict[str, Any] = {
            "success": True,
            "commandId": command_id,
            "commandStatus": "running",
            "state": "running",
            "queuePosition": 0,
            "reply": "",
            "moduleId": "LlamaChat",
        }

    def set(self, **fields: Any) -> None:
        self._loop.call_soon_threadsafe(self.update, fields)

    def append(self, text: str) -> None:
        self._loop.call_soon_threadsafe(self._append, text)

    def finish(self, stop_reason: str = "completed", **fields: Any) -> None:
        state = "cancelled" if stop_reason == "cancelled" else "completed"
        self.set(commandStatus="completed", state=state, stop_reason=stop_reason, **fields)

    def fail(self, error: str) -> None:
        self.set(success=False, commandStatus="failed", state="failed", error=error)

    def update(self, fields: dict[str, Any]) -> None:
        self.status.update(fields)
        self._changed.set()

    def _append(self, text: str) -> None:
        self.update({"reply": self.status["reply"] + text})

    @property
    def is_finished(self) -> bool:
        return bool(self.status["commandStatus"] != "running")

    async def read(self, offset: int, wait_s: float) -> dict[str, Any]:
        self.polls += 1
        if len(self.status["reply"]) <= offset and not self.is_finished:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), wait_s)
            except asyncio.TimeoutError:
                pass
        status = dict(self.status)
        reply = status.pop("reply")  # as a host answers who names an offset
        return {**status, "delta": reply[offset:], "nextOffset": len(reply)}


class StandIn:
    """The host's seam, faked: canned module states and log lines, scripted commands."""

    def __init__(self, pages: Sequence[ModulePage]) -> None:
        self.base_url = ""
        self.is_manual = True
        self.is_part_1 = False  # no offsets, no waits
        self.is_unreachable = False  # drops connections without an answer
        self.refusal: tuple[int, str] | None = None  # what a start is answered instead
        self.refusal_fields: dict[str, Any] = {}
        self.queues: list[dict[str, Any]] = []
        self.store_error: str | None = None
        self.is_draining = False
        self.log_category = "host"
        self.requests: list[str] = []
        self.rendered: list[str] = []  # what the page had made HTML of
        self.is_rendering_busy = False
        self.log_lines: list[str] = ["Host is listening", "LlamaChat is ready"]
        self.statuses = [build_status(page) for page in pages]
        self._pages = pages
        self._started: queue.Queue[Command] = queue.Queue()
        self._commands: dict[str, Command] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="stand-in host")
        self._ready = threading.Event()
        self._stop = asyncio.Event()

    def start(self) -> None:
        self._thread.start()
        if not self._ready.wait(DEADLINE_S):
            raise TimeoutError(f"the stand-in host did not listen within {DEADLINE_S:.0f} s")

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE_S)

    def next_command(self) -> Command:
        """The next command that the page starts."""
        return self._started.get(timeout=DEADLINE_S)

    @property
    def has_command(self) -> bool:
        return not self._started.empty()

    def forget_commands(self) -> None:
        """What a host that was started again knows of its former commands."""
        self._loop.call_soon_threadsafe(self._commands.clear)

    def status_of(self, module_id: str) -> dict[str, Any]:
        return next(entry for entry in self.statuses if entry["moduleId"] == module_id)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._run())
        self._loop.close()

    async def _run(self) -> None:
        runner = web.AppRunner(self._build_app(), handler_cancellation=True, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._ready.set()
        await self._stop.wait()
        for command in self._commands.values():
            command.update({"commandStatus": "failed"})
        await runner.cleanup()

    def _build_app(self) -> web.Application:
        app = web.Application(middlewares=[self._watch])
        app.router.add_get("/pages/explorer.js", self._explorer_script)
        add_explorer_routes(app, app.router, lambda: self._pages, _WatchedRenderer(self))
        app.router.add_get("/field", self._show_field_page)
        app.router.add_get("/v1/session", self._session)
        app.router.add_get("/v1/status/ping", self._ping)
        app.router.add_get("/v1/module/list/status", self._list_modules)
        app.router.add_get("/v1/log/list", self._list_log)
        app.router.add_get("/v1/stats", self._stats)
        for route in ("text/chat", "Published/chat"):
            app.router.add_post(f"/v1/{route}", self._start_command)
        app.router.add_post("/v1/{module_id}/get_command_status", self._read_command)
        app.router.add_post("/v1/{module_id}/cancel_command", self._cancel_command)
        app.router.add_post("/v1/{route:.*}", self._answer_other)
        return app

    @web.middleware
    async def _watch(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.is_unreachable and request.transport is not None:
            request.transport.abort()
            return web.Response(status=503)  # goes nowhere
        self.requests.append(f"{request.method} {request.path}")
        response: web.StreamResponse = await handler(request)
        return response

    async def _explorer_script(self, request: web.Request) -> web.Response:
        """The page's own, but that it asks for news five times as often."""
        text = (PAGES_PATH / "explorer.js").read_text(encoding="utf-8")
        assert POLLS in text
        quick = text.replace(POLLS, "const POLL_MS = 400;")
        return web.Response(text=quick, content_type="text/javascript")

    async def _session(self, request: web.Request) -> web.Response:
        """A host on the user's own machine, without keys."""
        roles = ["chat", "module", "operator"]
        body = {"success": True, "name": None, "roles": roles, "needsKey": False}
        return web.json_response(body)

    async def _ping(self, request: web.Request) -> web.Response:
        version = {"major": 0, "minor": 1, "patch": 0}
        body = {"success": True, "version": version, "draining": self.is_draining}
        return web.json_response({**body, "protocol": 2})

    async def _stats(self, request: web.Request) -> web.Response:
        if self.store_error is not None:
            body = {"success": False, "error": self.store_error, "code": 503, "retryAfterMs": 2000}
            return web.json_response(body, status=503)
        return web.json_response({"success": True, "queues": self.queues})

    async def _list_modules(self, request: web.Request) -> web.Response:
        return web.json_response({"success": True, "statuses": self.statuses})

    async def _list_log(self, request: web.Request) -> web.Response:
        entries = [
            {
                "id": number,
                "timestamp": "2025-01-02T10:20:30Z",
                "entry": line,
                "level": "error" if "failed" in line else "information",
                "category": self.log_category,
                "label": "host",
            }
            for number, line in enumerate(self.log_lines, start=1)
            if number > int(request.query["last_id"])
        ]
        return web.json_response({"success": True, "entries": entries})

    async def _start_command(self, request: web.Request) -> web.Response:
        params = {key: str(value) for key, value in (await request.post()).items()}
        if self.refusal is not None:
            code, error = self.refusal
            body = {"success": False, "error": error, "code": code, **self.refusal_fields}
            return web.json_response(body, status=code)
        command_id = f"command-{len(self._commands) + 1}"
        command = self._commands[command_id] = Command(self._loop, command_id, params)
        if self.is_manual:
            self._started.put(command)
        else:
            self._loop.call_soon(self._stream, command, CANNED_REPLY.split(" "))
        return web.json_response({**command.status, "message": "Command is queued"})

    def _stream(self, command: Command, words: list[str]) -> None:
        if command.is_cancelled:
            command.finish("cancelled")
        elif not words:
            command.finish(processMs=900, inferenceMs=800, completionTokens=18)
        else:
            command.append(f"{words[0]} ")
            self._loop.call_later(0.03, self._stream, command, words[1:])

    async def _read_command(self, request: web.Request) -> web.Response:
        params = await request.post()
        command = self._commands.get(str(params["commandId"]))
        if command is None:
            body = {"success": False, "error": "The host knows no such command.", "code": 404}
            return web.json_response(body, status=404)
        if self.is_part_1 or "offset" not in params:
            command.polls += 1
            return web.json_response(command.status)
        offset, wait_s = int(str(params["offset"])), float(str(params["wait"]))
        return web.json_response(await command.read(offset, wait_s))

    async def _cancel_command(self, request: web.Request) -> web.Response:
        command = self._commands[str((await request.post())["commandId"])]
        command.is_cancelled = True
        if self.is_manual:
            command.finish("cancelled")
        return web.json_response({"success": True, "message": "Cancel requested"})

    async def _answer_other(self, request: web.Request) -> web.Response:
        fields = await request.post()
        names = {
            key: value.filename if isinstance(value, web.FileField) else str(value)
            for key, value in fields.items()
        }
        return web.json_response({"success": True, "route": request.path, "fields": names})

    async def _show_field_page(self, request: web.Request) -> web.Response:
        """LlamaChat's fragment in a page of the field's kind: no frame, no additions of ours."""
        page = next(page for page in self._pages if page.module_id == "LlamaChat")
        text = await asyncio.to_thread((page.path / "explore.html").read_text, "utf-8")
        fragment = parse_fragment(text, page.module_id)
        return web.Response(
            content_type="text/html",
            text=f"""<!doctype html><title>field</title><script>
            const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
            async function submitRequest(route, apiName, images, params) {{
                const body = new FormData();
                for (const [key, value] of params) body.append(key, value);
                const path = `/v1/${{route}}/${{apiName}}`;
                return (await fetch(path, {{ method: "POST", body }})).json();
            }}</script>
            {fragment.html}<script>{fragment.script}</script><style>{fragment.css}</style>""",
        )


def build_status(page: ModulePage) -> dict[str, Any]:
    """What the host says of a module that is well."""
    return {
        "moduleId": page.module_id,
        "name": page.name,
        "queue": f"{page.module_id.lower()}_queue",
        "status": "Started",
        "started": "2025-01-02T10:20:00Z",
        "lastSeen": "2025-01-02T10:20:30Z",
        "requestCount": 3,
        "statusData": {"state": "ready", "inferenceDevice": "CPU", "slots": 1, "busy": 0},
    }


def write_page(
    folder: Path, module_id: str, routes: Sequence[str], html: str, script: str
) -> ModulePage:
    """A module folder with an explore.html of the given markup and script."""
    path = folder / module_id
    path.mkdir()
    (path / "explore.html").write_text(
        f"<!-- START EXPLORER MARKUP -->\n{html}\n<!-- END EXPLORER MARKUP -->\n"
        f"// START EXPLORER SCRIPT\n{script}\n// END EXPLORER SCRIPT\n",
        encoding="utf-8",
    )
    return ModulePage(module_id=module_id, name=module_id, path=path, routes=routes)


class _WatchedRenderer(MarkdownRenderer):
    """The real one; it notes what the page had made HTML of, and is busy when the test says so."""

    def __init__(self, site: "StandIn") -> None:
        super().__init__()
        self._site = site

    async def render(self, text: str, *, is_growing: bool = False) -> bytes:
        if self._site.is_rendering_busy:
            raise NotRendered("busy", is_for_now=True)
        self._site.rendered.append(text)
        return await super().render(text, is_growing=is_growing)
