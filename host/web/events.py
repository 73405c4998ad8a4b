"""A command as server-sent events: `GET /v1/commands/{id}/events`.

The id of each event is the sequence number after it: code points of all channels together, so that
`Last-Event-ID` resumes at the very next character. That of `done` says so too: a reader that comes
back with it has everything, and is told to come back no more, by 204.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from contextlib import suppress

from aiohttp import web

from host.channels import Output
from host.store.protocol import StoreUnavailable
from host.web.doors import Doors
from host.web.fields import name, whole_number
from host.web.news import DONE, Newsroom
from host.web.owned import find_own
from host.work.follow import Follow

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold the stream back
}


def add_event_routes(doors: Doors, follow: Follow) -> None:
    """Any number of readers may follow a command that they may see, from any offset."""
    newsroom = Newsroom()

    async def events(request: web.Request) -> web.StreamResponse:
        command_id = name("command id", request.match_info["command_id"])
        command = await find_own(follow, request, command_id)
        if command.state.is_terminal and _last_id(request).endswith(DONE):
            return web.Response(status=204)
        sequence = _first_sequence(request, command.output)
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        # the reader left, or the store did: the reader may come back with Last-Event-ID
        with suppress(ConnectionError, StoreUnavailable):
            with newsroom.reader(command.id):
                async for news in follow.news(command, sequence):
                    await response.write(newsroom.event(news) if news.is_new else _STILL_HERE)
            await response.write_eof()
        return response

    doors.add_get("/v1/commands/{command_id}/events", events)


_STILL_HERE = b": still here\n\n"


def _last_id(request: web.Request) -> str:
    return request.headers.get("Last-Event-ID", "")


def _first_sequence(request: web.Request, output: Output) -> int:
    last = whole_number("Last-Event-ID", _last_id(request).removesuffix(DONE))
    if last is not None:
        return last
    sequence = whole_number("sequence", request.query.get("sequence"))
    if sequence is not None:
        return sequence
    return output.sequence_at(whole_number("offset", request.query.get("offset")) or 0)
