"""`Idempotency-Key`: a start that is sent again, as its answer got lost, starts nothing.

Invariant: a key is its owner's own, on one route, and stands for one request: nobody finds the
command of another by it, and no request gets the answer to a different one.
"""

from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

from aiohttp import web

from host.json_pieces import calm_pieces
from host.web.fields import name
from host.web.routes import Route
from host.wire import Payload


class Repeat(NamedTuple):
    """By what a start is known again, and what it asked for; None for one without a key."""

    key: str | None = None
    digest: str | None = None


async def repeat_of(request: web.Request, owner: str, route: Route, payload: Payload) -> Repeat:
    """Raises RequestRefused (400) for a key that is none.

    The digest is of the fields and files, not of the bytes: a form that is sent again has another
    boundary.
    """
    shown = request.headers.get("Idempotency-Key")
    if shown is None:
        return Repeat()
    key = [owner, route.method, route.path, name("Idempotency-Key", shown)]
    return Repeat(hashlib.sha256(json.dumps(key).encode()).hexdigest(), await _digest(payload))


async def _digest(payload: Payload) -> str:
    found = hashlib.sha256()
    async for piece in calm_pieces(payload):
        found.update(piece)
    return found.hexdigest()
