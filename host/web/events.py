"""A command as server-sent events: `GET /v1/commands/{id}/events`.

The id of each event is the sequence number after it: code points of all channels together, so that
`Last-Event-ID` resumes at the very next character. Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from aiohttp import web

from host.channels import REPLY, Output
from host.commands import Command, UnknownCommand
from host.instances.load import LoadWatch, Place
from host.store.protocol import CommandStore, StoreUnavailable
from host.web.errors import bad_field
from host.web.replies import Seen, json_bytes, status_body

KEEP_ALIVE_S = 15.0

_WHOLE = ("reply", "reasoning", "toolCalls")

_NO_NEWS = {"delta", "nextOffset", "pieces", "nextSequence", "estimatedStartMs"}


def add_event_routes(app: web.Application, store: CommandStore, load: LoadWatch) -> None:
    """Any number of readers may follow any command, from any offset."""

    async def events(request: web.Request) -> web.StreamResponse:
        command = await store.read(request.match_info["command_id"])
        if command is None:
            raise UnknownCommand(request.match_info["command_id"][:80])
        sequence = _first_sequence(request, command.output)
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
            await _follow(response, store, load, command, sequence)
            await response.write_eof()
        return response

    app.router.add_get("/v1/commands/{command_id}/events", events)


async def _follow(
    response: web.StreamResponse,
    store: CommandStore,
    load: LoadWatch,
    command: Command,
    sequence: int,
) -> None:
    seen: dict[str, Any] = {}
    silent_s = 0.0
    while True:
        status = _news(command, await load.place(command), sequence)
        sequence = status["nextSequence"]
        if command.state.is_terminal:
            whole = status_body(command)
            texts = {key: whole[key] for key in _WHOLE if key in whole}
            await _send(response, "done", sequence, {**status, **texts})
            return
        has_text = bool(status["delta"] or status.get("pieces"))
        if has_text or _without_text(status) != seen:
            await _send(response, "delta" if has_text else "status", sequence, status)
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


def _news(command: Command, place: Place, sequence: int) -> dict[str, Any]:
    """The status, with what came after `sequence`: what is new in the reply as `delta`; `pieces`
    where there is anything else."""
    status = status_body(command, place, Seen(sequence=sequence))
    pieces = status["pieces"]
    status["delta"] = "".join(one["text"] for one in pieces if one["channel"] == REPLY)
    status["nextOffset"] = command.output.offset_at(status["nextSequence"])
    if all(one["channel"] == REPLY for one in pieces):
        del status["pieces"]
    return status


def _look_again_s(position: int) -> float:
    """The place in the queue moves without a change of the command itself: near the head it is
    looked at every second, far from it more seldom, so that a thousand readers cost nothing."""
    return min(KEEP_ALIVE_S, max(1.0, position / 10)) if position else KEEP_ALIVE_S


def _without_text(status: dict[str, Any]) -> dict[str, Any]:
    """What makes an event: not the estimate, which moves with every look."""
    return {key: value for key, value in status.items() if key not in _NO_NEWS}


async def _send(
    response: web.StreamResponse, event: str, sequence: int, data: dict[str, Any]
) -> None:
    head = f"id: {sequence}\nevent: {event}\ndata: ".encode()
    await response.write(head + json_bytes(data) + b"\n\n")


def _first_sequence(request: web.Request, output: Output) -> int:
    last = _whole_number("Last-Event-ID", request.headers.get("Last-Event-ID"))
    if last is not None:
        return last
    sequence = _whole_number("sequence", request.query.get("sequence"))
    if sequence is not None:
        return sequence
    return output.sequence_at(_whole_number("offset", request.query.get("offset")) or 0)


def _whole_number(name: str, text: str | None) -> int | None:
    if not text:
        return None
    with suppress(ValueError):
        if (number := int(text)) >= 0:
            return number
    raise bad_field(name, "a whole number, 0 or more", repr(text[:80]))
