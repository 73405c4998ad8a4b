"""What clients call: start a command, ask for its status, cancel it, delete it.

The store answers every status; the module is never asked.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import web

from host.commands import CancelAnswer, Command, NewCommand, State, UnknownCommand
from host.instances.load import LoadWatch
from host.instances.registry import ModuleRegistry
from host.store.protocol import CommandStore, QueueFull
from host.web.bodies import read_payload, read_values
from host.web.errors import Handler, RequestRefused, bad_field, try_later
from host.web.identity import Clients
from host.web.inputs import check_inputs, unknown_fields
from host.web.replies import Seen, json_reply, start_body, status_body
from host.web.routes import Route, RouteTable
from host.wire import CANCEL_COMMAND, COMMAND_STATUS, STATUS_WAIT_LIMIT_S, Payload

ANSWER_LIMIT_S = 60.0  # how long the client of an ordinary command waits for its module
CLOSED_S = 5.0  # when to ask again a host that is about to end: its successor may be there

_PLAIN_PATH = re.compile(r"[a-z0-9_/-]+")

_CANCEL_MESSAGES = {
    CancelAnswer.REQUESTED: "The command has been told to stop",
    CancelAnswer.CANCELLED: "The command is cancelled",
    CancelAnswer.ALREADY_FINISHED: "The command had finished already; its reply stays readable",
}


@dataclass(frozen=True)
class Reception:
    """What decides whether a command is taken, and for whom.

    `unavailable(module_id)` says why a module cannot take commands, or None; `closed(is_long)` why
    this host takes none any more, or None.
    """

    routes: RouteTable
    module_ids: list[str]
    unavailable: Callable[[str], str | None]
    closed: Callable[[bool], str | None]
    clients: Clients


class ClientApi:
    """The routes of modules, and what can be asked about a command afterwards."""

    def __init__(
        self, store: CommandStore, registry: ModuleRegistry, load: LoadWatch, reception: Reception
    ) -> None:
        self._store = store
        self._registry = registry
        self._load = load
        self._reception = reception
        self._module_ids = {one.lower() for one in reception.module_ids}

    def add_routes(self, app: web.Application) -> None:
        """The two system routes of every module, commands by id, and then whatever is left."""
        app.router.add_route("*", f"/v1/{{module_id}}/{COMMAND_STATUS}", self.status)
        app.router.add_route("*", f"/v1/{{module_id}}/{CANCEL_COMMAND}", self.cancel)
        app.router.add_get("/v1/commands/{command_id}", self.read)
        app.router.add_delete("/v1/commands/{command_id}", self.delete)
        for path in self._reception.routes.paths():
            if _PLAIN_PATH.fullmatch(path):  # found at once, where others are tried in turn
                app.router.add_route("*", f"/v1/{path}", self._starter(path))
        app.router.add_route("*", "/v1/{path:.+}", self.start)

    def _starter(self, path: str) -> Handler:
        async def start(request: web.Request) -> web.StreamResponse:
            return await self._start(request, path)

        return start

    async def start(self, request: web.Request) -> web.StreamResponse:
        """Queue a command. A long process is answered at once, others when their module has."""
        return await self._start(request, request.match_info["path"])

    async def _start(self, request: web.Request, path: str) -> web.StreamResponse:
        route, segments = self._route(request, path)
        payload = await read_payload(request, route.queue, route.command, segments)
        if route.is_long:
            check_inputs(route.inputs, payload)
        command = await self._accept(request, route, payload)
        warnings = unknown_fields(route.inputs, payload)
        if command.is_long:
            return await self._started(request, command, warnings)
        return await self._answered(request, command, warnings)

    async def _accept(self, request: web.Request, route: Route, payload: Payload) -> Command:
        is_long = route.is_long or self._registry.is_long(route.queue, route.command)
        reason = self._reception.closed(bool(is_long))
        if reason is not None:
            raise try_later(503, reason, None, CLOSED_S)
        reason = self._reception.unavailable(route.module_id)
        if reason is not None:  # another host may have seen one since
            await self._registry.refresh()
            reason = self._reception.unavailable(route.module_id)
        if reason is not None:
            raise RequestRefused(503, reason)
        new = NewCommand(
            module_id=route.module_id,
            queue=route.queue,
            name=route.command,
            payload=payload,
            is_long=is_long,
            client=self._reception.clients.identify(request),
            idempotency_key=request.headers.get("Idempotency-Key"),
            max_queue_length=route.limits.max_length,
            max_wait_s=route.limits.max_wait_s,
            max_run_s=route.limits.max_run_s,
        )
        try:
            return await self._store.create(new)
        except QueueFull as error:
            raise await self._full(route, error) from None

    async def _full(self, route: Route, error: QueueFull) -> RequestRefused:
        load = await self._load.of(route.queue)
        wait_s = load.wait_s(1)  # a place frees when the first of them starts
        when = "" if wait_s is None else f"; a place will be free in about {max(wait_s, 1):.0f} s"
        reason = f"module {route.module_id} has {error.length} commands waiting, and takes no more"
        return try_later(429, reason + when, wait_s, load.longest_run_s)

    def _route(self, request: web.Request, path: str) -> tuple[Route, list[str]]:
        found = self._reception.routes.find(path)
        if found is None:
            known = ", ".join(f"/v1/{one}" for one in self._reception.routes.paths()) or "none"
            raise RequestRefused(404, f"no module serves /v1/{path}; routes served: {known}")
        if request.method != found[0].method:
            raise RequestRefused(
                405,
                f"/v1/{path}: expected {found[0].method}, got {request.method}",
                Allow=found[0].method,
            )
        return found

    async def _started(
        self, request: web.Request, command: Command, warnings: list[str]
    ) -> web.Response:
        place = await self._load.place(command)
        if command.state is State.QUEUED and not place.position:  # it was taken in between
            command = await self._store.read(command.id) or command
        body = start_body(command, place)
        return json_reply(request, {**body, "warnings": warnings} if warnings else body)

    async def _answered(
        self, request: web.Request, command: Command, warnings: list[str]
    ) -> web.StreamResponse:
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
            return await self._started(request, command, warnings)
        await self._store.delete(command.id)
        return json_reply(request, command.result, status=_http_status(command))

    async def status(self, request: web.Request) -> web.StreamResponse:
        """The reply so far. `wait` seconds: answer as soon as there is more past `offset`."""
        values = await read_values(request)
        command = await self._addressed(request, values)
        return await self._status(request, command, values)

    async def read(self, request: web.Request) -> web.StreamResponse:
        """The status of a command, by its id alone."""
        values = await read_values(request)
        command = await self._known(request.match_info["command_id"])
        return await self._status(request, command, values)

    async def _status(
        self, request: web.Request, command: Command, values: Mapping[str, str]
    ) -> web.StreamResponse:
        seen = Seen(_whole_number(values, "offset"), _whole_number(values, "sequence"))
        wait_s = _seconds(values, "wait")
        has_more = (seen.offset is not None and len(command.text) > seen.offset) or (
            seen.sequence is not None and command.output.length > seen.sequence
        )
        if wait_s and not command.state.is_terminal and not has_more:
            command = await self._store.wait(command.id, command.version, wait_s) or command
        return json_reply(request, status_body(command, await self._load.place(command), seen))

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """Stop a command: at once while it waits, within a step of its module while it runs."""
        command = await self._addressed(request, await read_values(request))
        answer = await self._cancel(command.id)
        command = await self._known(command.id)
        body = status_body(command, await self._load.place(command))
        body.update(success=True, cancel=answer.value, message=_CANCEL_MESSAGES[answer])
        return json_reply(request, body)

    async def _cancel(self, command_id: str) -> CancelAnswer:
        answer = await self._store.cancel(command_id)
        if answer is CancelAnswer.REQUESTED:
            command = await self._known(command_id)
            await self._registry.post_cancel(command.worker, command_id)
        return answer

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """Forget an ended command and its texts for good."""
        command = await self._known(request.match_info["command_id"])
        if not await self._store.delete(command.id):
            raise RequestRefused(409, f"command {command.id} has not ended: cancel it first")
        return json_reply(request, {"success": True, "commandId": command.id})

    async def _addressed(self, request: web.Request, values: Mapping[str, str]) -> Command:
        module_id = request.match_info["module_id"].lower()
        if module_id not in self._module_ids:
            raise RequestRefused(404, f"there is no module {request.match_info['module_id']!r}")
        command_id = values.get("commandId")
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


def _whole_number(values: Mapping[str, str], key: str) -> int | None:
    text = values.get(key)
    if text in (None, ""):
        return None
    with suppress(ValueError):
        if (number := int(str(text))) >= 0:
            return number
    raise bad_field(key, "a whole number, 0 or more", repr(text))


def _seconds(values: Mapping[str, str], key: str) -> float:
    text = values.get(key)
    if text in (None, ""):
        return 0.0
    with suppress(ValueError):
        if 0 <= (number := float(str(text))) <= STATUS_WAIT_LIMIT_S:
            return number
    raise bad_field(key, f"seconds from 0 to {STATUS_WAIT_LIMIT_S:g}", repr(text))
