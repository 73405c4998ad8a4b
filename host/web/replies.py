"""The JSON that leaves the host: the envelope of every reply, and the status of a command."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import formatdate
from typing import Any

from aiohttp import web

from host.commands import Command, State

STARTED_AT = web.RequestKey("started_at", float)

_COMMAND_STATUS = {State.CANCELLED: "completed"}  # pages in the field end on "completed" only


def json_reply(
    request: web.Request,
    body: Mapping[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Answer with `body` and what the host adds to every reply: time, duration, its name."""
    started_at = request.get(STARTED_AT)
    elapsed_s = 0.0 if started_at is None else time.perf_counter() - started_at
    envelope = {
        **body,
        "timestampUTC": formatdate(usegmt=True),
        "analysisRoundTripMs": int(elapsed_s * 1000),
        "processedBy": "localhost",
    }
    return web.Response(
        text=json.dumps(envelope, default=str),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def iso_time(seconds: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC, to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")


def status_body(command: Command, position: int, offset: int | None = None) -> dict[str, Any]:
    """The status of a command, as a poll gets it.

    `reply` is always a string. With `offset` (code points already seen) the new part is there too,
    as `delta` and `nextOffset`. A failed command has `success` false and keeps its partial reply.
    """
    body: dict[str, Any] = {
        "success": True,
        **command.fields,
        **command.result,
        "commandId": command.id,
        "moduleId": command.module_id,
        "command": command.name,
        "requestId": command.id,
        "commandStatus": _COMMAND_STATUS.get(command.state, command.state.value),
        "state": command.state.value,
        "queuePosition": position,
        "createdAt": iso_time(command.created_at),
        "startedAt": iso_time(command.started_at),
        "finishedAt": iso_time(command.finished_at),
    }
    if not isinstance(command.result.get("reply"), str):
        body["reply"] = command.text
    if command.state is State.FAILED:
        body["success"] = False
    elif command.state.is_terminal:
        body.setdefault("stop_reason", command.state.value)
    if offset is not None:
        body["delta"] = command.text[offset:]
        body["nextOffset"] = len(command.text)
    return body


def start_body(command: Command, position: int) -> dict[str, Any]:
    """The answer to a start: the id to poll with, before a word of the reply exists."""
    running = command.state is not State.QUEUED
    place = "Command is running" if running else f"Command waits in the queue, place {position}"
    return {**status_body(command, position), "message": f"{place} in the background"}
