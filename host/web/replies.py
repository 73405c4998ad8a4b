"""The JSON that leaves the host: the envelope of every reply, and the status of a command."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from email.utils import formatdate
from functools import lru_cache
from typing import Any, NamedTuple

from aiohttp import web

from host.channels import REASONING, TOOL_CALLS, Output, parts_of
from host.commands import Command, State
from host.json_pieces import json_bytes
from host.work.follow import Look

_JSON = {"Content-Type": "application/json; charset=utf-8"}

_COMMAND_STATUS = {State.CANCELLED: "completed"}  # pages in the field end on "completed" only


def json_reply(
    request: web.Request,
    body: Mapping[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Answer with `body` and what the host adds to every reply: time, duration, its name."""
    begun_s = getattr(request.protocol, "begun_s", None)  # host.web.connections
    elapsed_s = 0.0 if begun_s is None else time.perf_counter() - begun_s
    envelope = {
        **body,
        "timestampUTC": _http_time(int(time.time())),
        "analysisRoundTripMs": int(elapsed_s * 1000),
        "processedBy": "localhost",
    }
    return web.Response(
        body=json_bytes(envelope),
        status=status,
        headers={**headers, **_JSON} if headers else _JSON,
    )


@lru_cache(maxsize=2)
def _http_time(second: int) -> str:
    return formatdate(second, usegmt=True)


@lru_cache(maxsize=10_000)  # a command's times are asked for with every poll
def iso_time(seconds: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC, to the millisecond."""
    if seconds is None:
        return None
    second, thousandths = divmod(int(seconds * 1000), 1000)
    return f"{_iso_second(second)}.{thousandths:03d}+00:00"


@lru_cache(maxsize=100)  # many commands begin in the same one
def _iso_second(second: int) -> str:
    return datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


class Seen(NamedTuple):
    """What a reader has already: code points of the reply, or of all channels; None: it asks for
    the whole."""

    offset: int | None = None
    sequence: int | None = None

    @property
    def is_nothing(self) -> bool:
        return self.offset is None and self.sequence is None

    def is_behind(self, output: Output) -> bool:
        """Whether there is anything that the reader has not got."""
        return (self.offset is not None and len(output.reply) > self.offset) or (
            self.sequence is not None and output.length > self.sequence
        )


def status_body(look: Look, seen: Seen = Seen()) -> dict[str, Any]:  # noqa: B008  it is frozen
    """The status of a command, as a poll gets it.

    A reader that says what it has `seen` gets what is new; others everything, and to those `reply`
    is always a string. A failed command has `success` false and keeps its partial output.
    """
    command, place = look.command, look.place
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
        "queuePosition": place.position,
        "createdAt": iso_time(command.created_at),
        "startedAt": iso_time(command.started_at),
        "finishedAt": iso_time(command.finished_at),
    }
    if command.failed_attempts:
        body["failedAttempts"] = [_failed_attempt(one) for one in command.failed_attempts]
    if place.position:
        body["estimatedStartMs"] = None if place.wait_s is None else round(place.wait_s * 1000)
    if command.state is State.FAILED:
        body["success"] = False
    elif command.state.is_terminal:
        body.setdefault("stop_reason", command.state.value)
    if seen.is_nothing:
        _tell_all(body, command)
    else:
        body.pop("reply", None)
        _tell_news(body, command.output, seen)
    return body


def _tell_all(body: dict[str, Any], command: Command) -> None:
    if not isinstance(command.result.get("reply"), str):
        body["reply"] = command.text
    texts = command.output.texts
    if REASONING in texts:
        body["reasoning"] = texts[REASONING]
    calls = [parts_of(one) | {"arguments": texts[one]} for one in texts if ":" in one]
    calls = [one for one in calls if one.pop("channel") == TOOL_CALLS]
    if calls:
        body["toolCalls"] = sorted(calls, key=lambda call: call["index"])


def _tell_news(body: dict[str, Any], output: Output, seen: Seen) -> None:
    """A host that was killed may hold less than it had shown: what follows goes on from there."""
    if seen.offset is not None:
        body["delta"] = output.reply[seen.offset :]
        body["nextOffset"] = max(seen.offset, len(output.reply))
    if seen.sequence is not None:
        body["pieces"] = [piece.spoken() for piece in output.since(seen.sequence)]
        body["nextSequence"] = max(seen.sequence, output.length)


def _failed_attempt(attempt: dict[str, Any]) -> dict[str, Any]:
    times = {key: iso_time(attempt.get(key)) for key in ("startedAt", "endedAt")}
    return {**times, "error": attempt.get("error", "")}


def start_body(look: Look, warnings: Sequence[str]) -> dict[str, Any]:
    """The answer to a start: the id to poll with, before a word of the reply exists."""
    running = look.command.state is not State.QUEUED
    where = "is running" if running else f"waits in the queue, place {look.place.position},"
    body = {**status_body(look), "message": f"Command {where} in the background"}
    return {**body, "warnings": warnings} if warnings else body
