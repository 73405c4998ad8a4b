"""A command as server-sent events: `GET /v1/commands/{id}/events`.

The id of each event is the sequence number after it: code points of all channels together, so that
`Last-Event-ID` resumes at the very next character. That of `done` says so too: a reader that comes
back with it has everything, and is told to come back no more, by 204.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from aiohttp import web

from host.channels import REPLY, Output
from host.store.protocol import StoreUnavailable
from host.web.fields import whole_number
from host.web.replies import Seen, json_bytes, status_body
from host.work.follow import Follow, News

_DONE = "-done"
_WHOLE = ("reply", "reasoning", "toolCalls")
_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold the stream back
}


def add_event_routes(app: web.Application, follow: Follow) -> None:
    """Any number of readers may follow any command, from any offset."""

    async def events(request: web.Request) -> web.StreamResponse:
        command = await follow.find(request.match_info["command_id"])
        if command.state.is_terminal and _last_id(request).endswith(_DONE):
            return web.Response(status=204)
        sequence = _first_sequence(request, command.output)
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        # the reader left, or the store did: the reader may come back with Last-Event-ID
        with suppress(ConnectionError, StoreUnavailable):
            async for news in follow.news(command, sequence):
                await response.write(_event(news, sequence) if news.is_new else _STILL_HERE)
                sequence = news.sequence
            await response.write_eof()
        return response

    app.router.add_get("/v1/commands/{command_id}/events", events)


_STILL_HERE = b": still here\n\n"


def _event(news: News, sequence: int) -> bytes:
    """News with what came after `sequence`: what is new in the reply as `delta`; `pieces` where
    there is anything else. With the end come all texts."""
    status = status_body(news, Seen(sequence=sequence))
    status["delta"] = "".join(one.text for one in news.pieces if one.channel == REPLY)
    status["nextOffset"] = news.command.output.offset_at(news.sequence)
    if all(one.channel == REPLY for one in news.pieces):
        del status["pieces"]
    if not news.command.state.is_terminal:
        return _bytes("delta" if news.pieces else "status", str(news.sequence), status)
    whole = status_body(news)
    texts = {key: whole[key] for key in _WHOLE if key in whole}
    return _bytes("done", f"{news.sequence}{_DONE}", {**status, **texts})


def _bytes(event: str, event_id: str, data: dict[str, Any]) -> bytes:
    head = f"id: {event_id}\nevent: {event}\ndata: ".encode()
    return head + json_bytes(data) + b"\n\n"


def _last_id(request: web.Request) -> str:
    return request.headers.get("Last-Event-ID", "")


def _first_sequence(request: web.Request, output: Output) -> int:
    last = whole_number("Last-Event-ID", _last_id(request).removesuffix(_DONE))
    if last is not None:
        return last
    sequence = whole_number("sequence", request.query.get("sequence"))
    if sequence is not None:
        return sequence
    return output.sequence_at(whole_number("offset", request.query.get("offset")) or 0)
