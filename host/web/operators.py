"""What operators and pages ask about the host itself: is it there, its modules, its log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from host import __version__
from host.access.principal import principal_of
from host.log.ring import LogRing
from host.web.doors import Doors
from host.web.fields import whole_number
from host.web.replies import json_reply
from host.wire import PROTOCOL
from host.work.draining import Draining

LOG_COUNT, LOG_COUNT_LIMIT = 10, 1000


def add_operator_routes(
    doors: Doors,
    log: LogRing,
    statuses: Callable[[], list[dict[str, Any]]],
    draining: Draining,
    store_trouble: Callable[[], str],
) -> None:
    """`statuses()` describes every module, as protocol 1.1 has it, with this host's additions;
    `store_trouble()` says what is wrong with the store, or nothing.
    """
    major, minor, patch = (int(part) for part in __version__.split("."))

    async def ping(request: web.Request) -> web.StreamResponse:
        version = {"major": major, "minor": minor, "patch": patch}
        message = f"LlamaChat host {__version__}"
        body: dict[str, Any] = {"success": True, "message": message, "version": version}
        body.update(protocol=PROTOCOL, draining=draining.is_on)
        if trouble := store_trouble():
            body["storeTrouble"] = trouble
        return json_reply(request, body)

    async def modules(request: web.Request) -> web.StreamResponse:
        sees_all = principal_of(request).sees_all
        shown = [one if sees_all else _without_commands(one) for one in statuses()]
        return json_reply(request, {"success": True, "statuses": shown})

    async def log_list(request: web.Request) -> web.StreamResponse:
        query = request.query
        last_id = whole_number("last_id", query.get("last_id")) or 0
        count = whole_number("count", query.get("count"))
        count = LOG_COUNT if count is None else min(count, LOG_COUNT_LIMIT)
        found = log.list(last_id, count, query.get("category"))
        entries = [entry.as_dict() for entry in found]
        return json_reply(request, {"success": True, "entries": entries})

    async def health(request: web.Request) -> web.StreamResponse:
        return web.json_response({"status": "ok"})  # strangers may ask: nothing else is theirs

    doors.add_get("/health", health)
    doors.add_get("/v1/status/ping", ping)
    doors.add_get("/v1/server/status/ping", ping)
    doors.add_get("/v1/module/list/status", modules)
    doors.add_get("/v1/log/list", log_list)


def _without_commands(status: dict[str, Any]) -> dict[str, Any]:
    """What a module says of itself, without the ids of what it works on."""
    said = {key: value for key, value in status["statusData"].items() if key != "commands"}
    return {**status, "statusData": said}
