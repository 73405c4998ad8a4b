"""The answer to a module's poll: a command, and what it was asked.

Invariant: what was asked goes out in pieces, and others have their turn between any two: it may be
an upload of megabytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

from host.asked import StoredPayload
from host.json_pieces import calm_pieces
from host.web.replies import json_reply
from host.wire import Payload, Work

_AT_ONCE_BYTES = 131_072


async def work_reply(request: web.Request, work: Work) -> web.StreamResponse:
    """The work as JSON, with what the host adds to every reply."""
    envelope = json_reply(request, {key: one for key, one in work.items() if key != "payload"})
    assert isinstance(envelope.body, bytes)  # noqa: S101  it is JSON
    payload = await _pieces(work["payload"])
    pieces = [envelope.body[:-1], b',"payload":', *payload, b"}"]
    size = sum(map(len, pieces))
    if size <= _AT_ONCE_BYTES:
        envelope.body = b"".join(pieces)
        return envelope
    return await _streamed(request, pieces, size, envelope.headers)


async def _pieces(payload: Payload | StoredPayload) -> list[bytes]:
    if isinstance(payload, StoredPayload):
        return payload.pieces
    return [piece async for piece in calm_pieces(payload)]


async def _streamed(
    request: web.Request, pieces: list[bytes], size: int, headers: Mapping[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": headers["Content-Type"]})
    response.content_length = size
    await response.prepare(request)
    for piece in pieces:
        for begin in range(0, len(piece), _AT_ONCE_BYTES):
            await response.write(piece[begin : begin + _AT_ONCE_BYTES])
            await asyncio.sleep(0)  # a module that reads quickly lets nothing wait here
    await response.write_eof()
    return response
