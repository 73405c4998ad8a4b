"""What clients call: start a command, ask for its status, cancel it, delete it.

The store answers every status; the module is never asked.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from aiohttp import web

from host.access.principal import principal_of
from host.commands import CancelAnswer, Command, NewCommand, State, UnknownCommand
from host.web.bodies import read_payload, read_values
from host.web.doors import Doors
from host.web.errors import Handler, RequestRefused, bad_field
from host.web.fields import name, seconds, whole_number
from host.web.origins import refuse_hidden_page
from host.web.owned import find_own
from host.web.repeats import repeat_of
from host.web.replies import Seen, json_reply, start_body, status_body
from host.web.routes import Route, RouteTable, wrong_method
from host.wire import CANCEL_COMMAND, COMMAND_STATUS, STATUS_WAIT_LIMIT_S
from host.work.endings import Endings
from host.work.follow import Follow, NoAnswer
from host.work.held import Held, Upload
from host.work.intake import Intake

ANSWER_LIMIT_S = 60.0  # how long the client of an ordinary command waits for its module

_PLAIN_PATH = re.compile(r"[a-z0-9_/-]+")

_CANCEL_MESSAGES = {
    CancelAnswer.REQUESTED: "The command has been told to stop",
    CancelAnswer.CANCELLED: "The command is cancelled",
    CancelAnswer.ALREADY_FINISHED: "The command had finished already; its reply stays readable",
}


class ClientApi:
    """The routes of modules, and what can be asked about a command afterwards."""

    def __init__(
        self,
        intake: Intake,
        follow: Follow,
        endings: Endings,
        routes: RouteTable,
        module_ids: list[str],
        held: Held,
    ) -> None:
        self._intake = intake
        self._follow = follow
        self._endings = endings
        self._routes = routes
        self._spelt = module_ids
        self._module_ids = {one.lower() for one in module_ids}
        self._held = held

    def add_routes(self, doors: Doors) -> None:
        """The two system routes of every module, commands by id, and then whatever is left."""
        for one in (*self._spelt, "{module_id}"):  # these are found at once
            doors.add_route("*", f"/v1/{one}/{COMMAND_STATUS}", self.status)
            doors.add_route("*", f"/v1/{one}/{CANCEL_COMMAND}", self.cancel)
        doors.add_get("/v1/commands/{command_id}", self.read)
        doors.add_delete("/v1/commands/{command_id}", self.delete)
        for path in self._routes.paths():
            if _PLAIN_PATH.fullmatch(path):  # found at once, where others are tried in turn
                doors.add_route("*", f"/v1/{path}", self._starter(path))
        doors.add_route("*", "/v1/{path:.+}", self.start)

    def _starter(self, path: str) -> Handler:
        async def start(request: web.Request) -> web.StreamResponse:
            return await self._start(request, path)

        return start

    async def start(self, request: web.Request) -> web.StreamResponse:
        """Queue a command. A long process is answered at once, others when their module has."""
        return await self._start(request, request.match_info["path"])

    async def _start(self, request: web.Request, path: str) -> web.StreamResponse:
        route, segments = self._routes.at(path, request.method)
        refuse_hidden_page(request)
        await self._held.settle()
        with self._held.upload(principal_of(request).client) as upload:
            new, warnings = await self._read(request, route, segments, upload)
            command = await self._intake.accept(new)
            upload.accepted(command.id)
            del new  # nothing of what was sent is kept here while the module works on it
            if not command.is_long:
                command = await self._answer(command)
        if not command.is_long:
            await self._endings.answered(command)
            return json_reply(request, command.result, status=_http_status(command))
        body = start_body(await self._follow.look(command), warnings)
        return json_reply(request, body)

    async def _read(
        self, request: web.Request, route: Route, segments: list[str], upload: Upload
    ) -> tuple[NewCommand, list[str]]:
        """What is asked for, and what its client is to be warned of."""
        payload = await read_payload(request, route.queue, route.command, segments, upload.take)
        if route.is_long:
            route.inputs.check(payload)
        owner = principal_of(request).name
        repeat = await repeat_of(request, owner, route, payload)
        new = NewCommand(
            module_id=route.module_id,
            queue=route.queue,
            name=route.command,
            payload=payload,
            is_long=route.is_long,
            client=upload.client,
            owner=owner,
            idempotency_key=repeat.key,
            request_digest=repeat.digest,
            max_queue_length=route.limits.max_length,
            max_wait_s=route.limits.max_wait_s,
            max_run_s=route.limits.max_run_s,
        )
        return new, route.inputs.unknown(payload)

    async def _answer(self, command: Command) -> Command:
        """The end of an ordinary command; the last who waits for it no more takes it along."""
        try:
            return await self._follow.answer(command, ANSWER_LIMIT_S)
        except (asyncio.CancelledError, NoAnswer):  # the client left, or has waited enough
            if command.id not in self._follow.waiting:
                await self._endings.unheard(command)
            raise

    async def status(self, request: web.Request) -> web.StreamResponse:
        """The reply so far. `wait` seconds: answer as soon as there is more past `offset`."""
        _allow(request, "GET", "POST")
        values = await read_values(request)
        return await self._status(request, await self._addressed(request, values), values)

    async def read(self, request: web.Request) -> web.StreamResponse:
        """The status of a command, by its id alone."""
        values = await read_values(request)
        command = await self._by_id(request)
        return await self._status(request, command, values)

    async def _status(
        self, request: web.Request, command: Command, values: Mapping[str, str]
    ) -> web.StreamResponse:
        offset, sequence = values.get("offset"), values.get("sequence")
        seen = Seen(whole_number("offset", offset), whole_number("sequence", sequence))
        wait_s = seconds("wait", values.get("wait"), STATUS_WAIT_LIMIT_S)
        if wait_s and not seen.is_behind(command.output):
            command = await self._follow.change(command, wait_s)
        return json_reply(request, status_body(await self._follow.look(command), seen))

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """Stop a command: at once while it waits, within a step of its module while it runs."""
        _allow(request, "POST")
        command = await self._addressed(request, await read_values(request))
        answer = await self._endings.cancel(command.id)
        body = status_body(await self._follow.look(await self._follow.find(command.id)))
        body.update(success=True, cancel=answer.value, message=_CANCEL_MESSAGES[answer])
        return json_reply(request, body)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """Forget an ended command and its texts for good."""
        command = await self._by_id(request)
        if not await self._endings.delete(command.id):
            raise RequestRefused(409, f"command {command.id} has not ended: cancel it first")
        return json_reply(request, {"success": True, "commandId": command.id})

    async def _by_id(self, request: web.Request) -> Command:
        command_id = name("command id", request.match_info["command_id"])
        return await find_own(self._follow, request, command_id)

    async def _addressed(self, request: web.Request, values: Mapping[str, str]) -> Command:
        spelt = request.path.split("/")[2]
        module_id = spelt.lower()
        if module_id not in self._module_ids:
            raise RequestRefused(404, f"there is no module {spelt!r}")
        command_id = values.get("commandId")
        if not command_id:
            raise bad_field("commandId", "the id that the start returned", "nothing")
        command = await find_own(self._follow, request, name("commandId", command_id))
        if command.module_id.lower() != module_id:
            raise UnknownCommand(command_id)
        return command


def _allow(request: web.Request, *methods: str) -> None:
    """Raise RequestRefused for other methods: 405 says which there are."""
    if request.method not in methods:
        raise wrong_method(request.path, methods, request.method)


def _http_status(command: Command) -> int:
    """A failure is 500 unless the module says with `code` whose fault it is."""
    if command.state is not State.FAILED:
        return 200
    code = command.result.get("code")
    return code if isinstance(code, int) and 400 <= code < 600 else 500
