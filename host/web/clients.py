"""What clients call: start a command, ask for its status, cancel it, delete it.

The store answers every status; the module is never asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from aiohttp import web

from host.commands import CancelAnswer, Command, NewCommand, State, UnknownCommand
from host.inputs import check_inputs
from host.modules import ModuleRegistry
from host.routes import Route, RouteTable
from host.store.protocol import CommandStore
from host.web.bodies import read_payload
from host.web.errors import RequestRefused, bad_field
from host.web.replies import json_reply, start_body, status_body
from host.wire import CANCEL_COMMAND, COMMAND_STATUS, STATUS_WAIT_LIMIT_S, Payload, first_value

ANSWER_LIMIT_S = 60.0  # how long the client of an ordinary command waits for its module

_CANCEL_MESSAGES = {
    CancelAnswer.REQUESTED: "The command has been told to stop",
    CancelAnswer.CANCELLED: "The command is cancelled",
    CancelAnswer.ALREADY_FINISHED: "The command had finished already; its reply stays readable",
}


class ClientApi:
    """`unavailable(module_id)` says why a module cannot take commands, or None."""

    def __init__(
        self,
        store: CommandStore,
        registry: ModuleRegistry,
        routes: RouteTable,
        module_ids: Callable[[], list[str]],
        unavailable: Callable[[str], str | None],
    ) -> None:
        self._store = store
        self._registry = registry
        self._routes = routes
        self._module_ids = module_ids
        self._unavailable = unavailable

    def add_routes(self, app: web.Application) -> None:
        """The two system routes of every module, commands by id, and then whatever is left."""
        app.router.add_route("*", f"/v1/{{module_id}}/{COMMAND_STATUS}", self.status)
        app.router.add_route("*", f"/v1/{{module_id}}/{CANCEL_COMMAND}", self.cancel)
        app.router.add_get("/v1/commands/{command_id}", self.read)
        app.router.add_delete("/v1/commands/{command_id}", self.delete)
        app.router.add_route("*", "/v1/{path:.+}", self.start)

    async def start(self, request: web.Request) -> web.StreamResponse:
        """Queue a command. A long process is answered at once, others when their module has."""
        route, segments = self._route(request)
        payload = await read_payload(request, route.queue, route.command, segments)
        if route.is_long:
            check_inputs(route.inputs, payload)
        reason = self._unavailable(route.module_id)
        if reason is not None:
            raise RequestRefused(503, reason)
        is_long = route.is_long or self._registry.is_long(route.queue, route.command)
        command = await self._store.create(
            NewCommand(
                module_id=route.module_id,
                queue=route.queue,
                name=route.command,
                payload=payload,
                is_long=is_long,
                client=request.remote or "",
                idempotency_key=request.headers.get("Idempotency-Key"),
            )
        )
        if command.is_long:
            return await self._started(request, command)
        return await self._answered(request, command)

    def _route(self, request: web.Request) -> tuple[Route, list[str]]:
        path = request.match_info["path"]
        found = self._routes.find(path)
        if found is None:
            known = ", ".join(f"/v1/{one}" for one in self._routes.paths()) or "none"
            raise RequestRefused(404, f"no module serves /v1/{path}; routes served: {known}")
        if request.method != found[0].method:
            raise RequestRefused(
                405,
                f"/v1/{path}: expected {found[0].method}, got {request.method}",
                Allow=found[0].method,
            )
        return found

    async def _started(self, request: web.Request, command: Command) -> web.Response:
        position = await self._store.position(command.id)
        return json_reply(request, start_body(command, position))

    async def _answered(self, request: web.Request, command: Command) -> web.StreamResponse:
        deadline = asyncio.get_running_loop().time() + ANSWER_LIMIT_S
        try:
            while not (command.state.is_terminal or command.is_long):
                remaining_s = deadline - asyncio.get_running_loop().time()
                found = await self._store.wait(command.id, command.version, remaining_s)
                if found is None or remaining_s <= 0:
                    raise RequestRefused(
                        504,
                        f"module {command.module_id} did not answer within {ANSWER_LIMIT_S:g} s",
                    )
                command = found
        except (asyncio.CancelledError, RequestRefused):  # the client left, or has waited enough
            await self._cancel(command.id)
            raise
        if command.is_long:
            return await self._started(request, command)
        await self._store.delete(command.id)
        return json_reply(request, command.result, status=_http_status(command))

    async def status(self, request: web.Request) -> web.StreamResponse:
        """The reply so far. `wait` seconds: answer as soon as there is more past `offset`."""
        payload = await read_payload(request, "", COMMAND_STATUS, [])
        command = await self._addressed(request, payload)
        return await self._status(request, command, payload)

    async def read(self, request: web.Request) -> web.StreamResponse:
        """The status of a command, by its id alone."""
        payload = await read_payload(request, "", COMMAND_STATUS, [])
        command = await self._known(request.match_info["command_id"])
        return await self._status(request, command, payload)

    async def _status(
        self, request: web.Request, command: Command, payload: Payload
    ) -> web.StreamResponse:
        offset = _whole_number(payload, "offset")
        wait_s = _seconds(payload, "wait")
        has_more = offset is not None and len(command.text) > offset
        if wait_s and not command.state.is_terminal and not has_more:
            command = await self._store.wait(command.id, command.version, wait_s) or command
        position = await self._store.position(command.id)
        return json_reply(request, status_body(command, position, offset))

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """Stop a command: at once while it waits, within a step of its module while it runs."""
        payload = await read_payload(request, "", CANCEL_COMMAND, [])
        command = await self._addressed(request, payload)
        answer = await self._cancel(command.id)
        command = await self._known(command.id)
        body = status_body(command, await self._store.position(command.id))
        body.update(success=True, cancel=answer.value, message=_CANCEL_MESSAGES[answer])
        return json_reply(request, body)

    async def _cancel(self, command_id: str) -> CancelAnswer:
        answer = await self._store.cancel(command_id)
        if answer is CancelAnswer.REQUESTED:
            command = await self._known(command_id)
            self._registry.post_cancel(command.worker, command_id)
        return answer

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """Forget an ended command and its texts for good."""
        command = await self._known(request.match_info["command_id"])
        if not await self._store.delete(command.id):
            raise RequestRefused(409, f"command {command.id} has not ended: cancel it first")
        return json_reply(request, {"success": True, "commandId": command.id})

    async def _addressed(self, request: web.Request, payload: Payload) -> Command:
        module_id = request.match_info["module_id"].lower()
        if module_id not in {one.lower() for one in self._module_ids()}:
            raise RequestRefused(404, f"there is no module {request.match_info['module_id']!r}")
        command_id = first_value(payload, "commandId")
        if not command_id:
            raise bad_field("commandId", "the id that the start returned", "nothing")
        command = await self._known(command_id)
        if command.module_id.lower() != module_id:
            raise UnknownCommand(command_id)
        return command

    async def _known(self, command_id: str) -> Command:
        command = await self._store.read(command_id)
        if command is None:
            raise UnknownCommand(command_id[:80])
        return command


def _http_status(command: Command) -> int:
    """A failure is 500 unless the module says with `code` whose fault it is."""
    if command.state is not State.FAILED:
        return 200
    code = command.result.get("code")
    return code if isinstance(code, int) and 400 <= code < 600 else 500


def _whole_number(payload: Payload, key: str) -> int | None:
    text = first_value(payload, key)
    if text in (None, ""):
        return None
    with suppress(ValueError):
        if (number := int(str(text))) >= 0:
            return number
    raise bad_field(key, "a whole number, 0 or more", repr(text))


def _seconds(payload: Payload, key: str) -> float:
    text = first_value(payload, key)
    if text in (None, ""):
        return 0.0
    with suppress(ValueError):
        if 0 <= (number := float(str(text))) <= STATUS_WAIT_LIMIT_S:
            return number
    raise bad_field(key, f"seconds from 0 to {STATUS_WAIT_LIMIT_S:g}", repr(text))
