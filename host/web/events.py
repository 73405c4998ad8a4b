"""A command as server-sent events: `GET /v1/commands/{id}/events`.

The id of each event is the offset after it, in code points, so that `Last-Event-ID` resumes at the
very next character. Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from aiohttp import web

from host.commands import Command, UnknownCommand
from host.store.protocol import CommandStore, StoreUnavailable
from host.web.errors import bad_field
from host.web.replies import json_bytes, status_body
from host.work.load import LoadWatch

KEEP_ALIVE_S = 15.0

_NO_NEWS = {"delta", "nextOffset", "estimatedStartMs"}


def add_event_routes(app: web.Application, store: CommandStore, load: LoadWatch) -> None:
    """Any number of readers may follow any command, from any offset."""

    async def events(request: web.Request) -> web.StreamResponse:
        command = await store.read(request.match_info["command_id"])
        if command is None:
            raise UnknownCommand(request.match_info["command_id"][:80])
        offset = _first_offset(request)
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",  # nginx would hold the stream back
            }
        )
        await response.prepare(request)
        # the reader left, or the store did: the reader may come back with Last-Event-ID
        with suppress(ConnectionError, StoreUnavailable):
            await _follow(response, store, load, command, offset)
            await response.write_eof()
        return response

    app.router.add_get("/v1/commands/{command_id}/events", events)


async def _follow(
    response: web.StreamResponse,
    store: CommandStore,
    load: LoadWatch,
    command: Command,
    offset: int,
) -> None:
    seen: dict[str, Any] = {}
    silent_s = 0.0
    while True:
        status = status_body(command, await load.place(command), offset)
        reply, delta = status.pop("reply"), status["delta"]
        offset = max(offset, status["nextOffset"])
        if command.state.is_terminal:
            await _send(response, "done", offset, {**status, "reply": reply})
            return
        if delta or _without_text(status) != seen:
            await _send(response, "delta" if delta else "status", offset, status)
            seen, silent_s = _without_text(status), 0.0
        elif silent_s >= KEEP_ALIVE_S:
            await response.write(b": still here\n\n")
            silent_s = 0.0
        wait_s = _look_again_s(status["queuePosition"])
        found = await store.wait(command.id, command.version, wait_s)
        if found is None:
            return
        silent_s += wait_s if found.version == command.version else 0.0
        command = found


def _look_again_s(position: int) -> float:
    """The place in the queue moves without a change of the command itself: near the head it is
    looked at every second, far from it more seldom, so that a thousand readers cost nothing."""
    return min(KEEP_ALIVE_S, max(1.0, position / 10)) if position else KEEP_ALIVE_S


def _without_text(status: dict[str, Any]) -> dict[str, Any]:
    """What makes an event: not the estimate, which moves with every look."""
    return {key: value for key, value in status.items() if key not in _NO_NEWS}


async def _send(
    response: web.StreamResponse, event: str, offset: int, data: dict[str, Any]
) -> None:
    head = f"id: {offset}\nevent: {event}\ndata: ".encode()
    await response.write(head + json_bytes(data) + b"\n\n")


def _first_offset(request: web.Request) -> int:
    for name, text in (
        ("Last-Event-ID", request.headers.get("Last-Event-ID")),
        ("offset", request.query.get("offset")),
    ):
        if text:
            with suppress(ValueError):
                if (number := int(text)) >= 0:
                    return number
            raise bad_field(name, "a whole number, 0 or more", repr(text[:80]))
    return 0
