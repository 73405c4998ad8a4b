"""What modules call: polls for work and control, answers, progress, their status, their log."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from host.access.principal import principal_of
from host.commands import StaleAttempt, UnknownCommand
from host.instances.instance import ALIVE_S, Instance
from host.instances.overview import ModuleOverview
from host.instances.registry import ModuleRegistry, TooManyInstances
from host.log.flood import FloodGate
from host.log.ring import LogRing
from host.web.bodies import read_payload, utf8_text
from host.web.doors import Doors
from host.web.errors import RequestRefused, bad_field, try_later
from host.web.fields import name
from host.web.json_texts import parsed_json
from host.web.origins import refuse_browsers
from host.web.replies import json_reply
from host.web.statuses import read_status
from host.web.uploads import read_body
from host.web.work_reply import work_reply
from host.wire import LONG_POLL_LIMIT_S, Progress, first_value
from host.work.dispatch import Dispatcher

MODULE_ITEMS = 1_000_000  # a reply's log probabilities are many

_INSTANCE_ID = re.compile(r"[A-Za-z0-9._:@+-]{1,100}", re.ASCII)


class ModuleApi:
    """`modules` are those that may speak here, by their queues; `overview` knows which instances
    this host launched. `on_seen(instance)` is called with every sign of life."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        registry: ModuleRegistry,
        log: LogRing,
        modules: Mapping[str, str],
        overview: ModuleOverview,
        on_seen: Callable[[Instance], None],
    ) -> None:
        self._dispatcher = dispatcher
        self._registry = registry
        self._log = log
        self._modules = modules
        self._ids = {one.lower(): one for one in modules.values()}
        self._overview = overview
        self._on_seen = on_seen
        self._flood_gate = FloodGate(log, self._ids.values())

    def add_routes(self, doors: Doors) -> None:
        """Register every path; the ones with a slash at the end are the field's spelling."""
        for method, path, handler in (
            ("GET", "/v1/queue/{queue}", self.poll),
            ("POST", "/v1/queue/updatemodulestatus/{module_id}", self.status),
            ("POST", "/v1/queue/{reqid}", self.answer),
            ("POST", "/v1/modules/{module_id}/progress", self.progress),
            ("GET", "/v1/modules/{module_id}/control", self.control),
            ("POST", "/v1/log", self.log),
            ("POST", "/v1/log/", self.log),
        ):
            # the field's protocol takes work with a GET
            guarded = refuse_browsers(handler) if method == "GET" else handler
            doors.add_route(method, path, guarded)

    def _unusable(self, instance: Instance, kind: str, refused: RequestRefused) -> None:
        """An instance has sent nonsense: said in the log, and shown with the module."""
        if instance.faults.note(kind, refused.error):
            self._log.add(
                f"instance {instance.instance_id}: {instance.faults.words}",
                level="error",
                category=instance.module_id,
            )
        self._on_seen(instance)

    async def poll(self, request: web.Request) -> web.StreamResponse:
        """One command, or 204 when none came in time."""
        queue = name("queue", request.match_info["queue"])
        module_id = request.query.get("moduleId") or self._modules.get(queue, "")
        instance = self._instance(request, module_id)
        instance.has_polled = True
        self._on_seen(instance)
        await self._dispatcher.alive(instance)
        take = self._dispatcher.claim if instance.protocol >= 2 else self._dispatcher.part1.poll
        work = await take(queue, instance, _wait_s(request))
        if work is None:
            return web.Response(status=204)
        if request.transport is None or request.transport.is_closing():
            await self._dispatcher.give_back(work)
        return await work_reply(request, work)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The module's JSON answer to a command; its content type does not matter."""
        instance = self._instance(request, request.query.get("moduleId", ""))
        try:
            body = await _json_object(request)
        except RequestRefused as refused:
            self._unusable(instance, "answer", refused)
            with suppress(RequestRefused):  # the command ends: no better answer will come
                await self._answered(request, instance, _nonsense(instance, refused))
            raise
        await self._answered(request, instance, body)
        instance.faults.fine("answer")
        return json_reply(request, {"success": True})

    async def _answered(
        self, request: web.Request, instance: Instance, body: dict[str, Any]
    ) -> None:
        reqid = name("request id", request.match_info["reqid"])
        attempt = name("attempt", request.query.get("attempt", "")) or None
        try:
            await self._dispatcher.answer(instance, reqid, attempt, body)
        except UnknownCommand as error:
            raise RequestRefused(400, str(error)) from None
        except StaleAttempt as error:
            raise RequestRefused(409, str(error)) from None

    async def progress(self, request: web.Request) -> web.StreamResponse:
        """The progress of all running commands of an instance, in one request."""
        instance = self._instance(request, request.match_info["module_id"])
        try:
            progress = await _progress(request)
        except RequestRefused as refused:
            self._unusable(instance, "progress", refused)
            raise
        instance.faults.fine("progress")
        await self._dispatcher.alive(instance)
        replies, cancel = await self._dispatcher.progress(instance, progress.commands)
        return json_reply(request, {"success": True, "cancel": cancel, "commands": replies})

    async def control(self, request: web.Request) -> web.StreamResponse:
        """What the instance is told: kept apart from work, so that full slots never delay it."""
        instance = self._instance(request, request.match_info["module_id"])
        await self._dispatcher.alive(instance)
        await self._registry.wait_for_mail(instance, _wait_s(request))
        mail = await self._registry.take_mail(instance)
        return json_reply(request, {"controls": mail}) if mail else web.Response(status=204)

    async def status(self, request: web.Request) -> web.StreamResponse:
        """A module's own status: a JSON text in the form field `statusData`."""
        payload = await read_payload(request, "", "", [])
        instance = self._instance(request, request.match_info["module_id"])
        try:
            status = read_status(first_value(payload, "statusData") or "{}")
        except RequestRefused as refused:
            self._unusable(instance, "status", refused)
            raise
        instance.faults.fine("status")
        self._registry.tells(instance, status)
        self._on_seen(instance)
        await self._dispatcher.alive(instance)
        if instance.protocol >= 2 and isinstance(instance.status.get("commands"), list):
            await self._dispatcher.endings.reconcile(instance, instance.status["commands"])
        if instance.protocol >= 2 and status.get("state") == "stopped":  # its last word
            reason = str(status.get("error") or "it has ended")
            await self._dispatcher.instance_gone(instance.module_id, instance.instance_id, reason)
        return json_reply(request, {"success": True})

    async def log(self, request: web.Request) -> web.StreamResponse:
        """One line for the host's log."""
        payload = await read_payload(request, "", "", [])
        self._flood_gate.add(
            first_value(payload, "entry") or "",
            level=first_value(payload, "log_level") or "information",
            category=first_value(payload, "category") or "",
            label=first_value(payload, "label") or "",
        )
        return json_reply(request, {"success": True})

    def _known(self, module_id: str) -> str:
        """The module's id as its settings spell it. Raises RequestRefused: 404."""
        known = self._ids.get(module_id.lower())
        if known is None:
            names = ", ".join(self._ids.values()) or "none"
            got = ascii(module_id[:100])
            raise RequestRefused(
                404, f"moduleId: expected a module of this host ({names}), got {got}"
            )
        return known

    def _is_launched(self, instance_id: str) -> bool:
        return instance_id in self._overview.all_launched()

    def _instance(self, request: web.Request, module_id: str) -> Instance:
        """Who asks. Only protocol 2 names its instance; others are known by who launched them."""
        module_id = self._known(module_id)
        own = _instance_id(request.query.get("instanceId"))
        instance_id = own or self._overview.launched(module_id) or f"{module_id.lower()}-1"
        protocol = 2 if own else 1
        try:
            client = principal_of(request).client
            instance = self._registry.seen(
                module_id, instance_id, protocol, self._is_launched, client
            )
        except TooManyInstances as error:
            raise try_later(429, str(error), None, ALIVE_S) from None
        self._on_seen(instance)  # before the store is asked: a module lives also while that is away
        return instance


def _instance_id(text: str | None) -> str | None:
    if not text or _INSTANCE_ID.fullmatch(text):
        return text
    expected = "at most 100 of the characters A-Z a-z 0-9 . _ : @ + -"
    raise bad_field("instanceId", expected, ascii(text[:100]))


def _wait_s(request: web.Request) -> float:
    text = request.query.get("wait", str(LONG_POLL_LIMIT_S))
    try:
        return max(0.0, min(float(text), LONG_POLL_LIMIT_S))
    except ValueError:
        raise bad_field("wait", f"seconds from 0 to {LONG_POLL_LIMIT_S:g}", repr(text)) from None


async def _progress(request: web.Request) -> Progress:
    try:
        return Progress.model_validate(await _json_object(request))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise bad_field(where, first["msg"], f"a {type(first['input']).__name__}") from None


def _nonsense(instance: Instance, refused: RequestRefused) -> dict[str, Any]:
    """The end of a command whose module answered with something else than an answer."""
    error = f"module {instance.module_id} gave an answer that cannot be used: {refused.error}"
    return {"success": False, "error": error, "code": 502}


async def _json_object(request: web.Request) -> dict[str, Any]:
    body = parsed_json(utf8_text(await read_body(request)), "body", max_items=MODULE_ITEMS)
    if not isinstance(body, dict):
        raise bad_field("body", "a JSON object", f"a JSON {type(body).__name__}")
    return body
