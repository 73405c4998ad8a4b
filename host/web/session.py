"""A browser's session: begun, told of, and ended, at `/v1/session`.

Invariant: the cookie is set for the host's own pages alone; where there are keys, for whoever shows
one. No script can read it, and no page of another site makes a browser send it.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from host.access.addresses import Addresses, is_foreign
from host.access.principal import Principal, principal_of
from host.access.principals import Principals, holder
from host.access.sessions import KEEP_S
from host.web.bodies import utf8_text
from host.web.doors import Doors, no_key
from host.web.errors import RequestRefused, bad_field
from host.web.json_texts import parsed_json
from host.web.replies import json_reply
from host.web.uploads import read_body

_MAX_BYTES = 4096


def add_session_routes(doors: Doors, principals: Principals, addresses: Addresses) -> None:
    """For the page: it asks before anything else."""
    sessions = principals.sessions

    def with_cookie(request: web.Request, answer: web.Response, key_id: str | None) -> None:
        answer.set_cookie(
            sessions.cookie,
            sessions.make(key_id),
            max_age=int(KEEP_S),
            httponly=True,
            samesite="Strict",
            secure=addresses.is_https(request),
        )

    async def read(request: web.Request) -> web.StreamResponse:
        """Who asks. Where there are no keys, a browser that has no session gets one."""
        principal = principal_of(request)
        if not principal.roles:
            raise no_key(request)
        answer = json_reply(request, _told(principals, principal))
        if not principals.is_closed and not is_foreign(request) and not sessions.of(request):
            with_cookie(request, answer, None)
        return answer

    async def begin(request: web.Request) -> web.StreamResponse:
        """Sign in with a key."""
        _refuse_foreign(request)
        shown = await _shown(request)
        principals.keys.look()
        key = principals.keys.find(shown)
        if key is None:
            raise RequestRefused(401, "key: expected a key of this host, got another one")
        answer = json_reply(request, _told(principals, holder(key)))
        with_cookie(request, answer, key.id)
        return answer

    async def end(request: web.Request) -> web.StreamResponse:
        """Sign out: the cookie is worth nothing any more, whoever has a copy of it."""
        _refuse_foreign(request)
        if (session := sessions.of(request)) is not None:
            sessions.end(session)
        answer = json_reply(request, {"success": True})
        answer.del_cookie(sessions.cookie, httponly=True, samesite="Strict")
        return answer

    doors.add_get("/v1/session", read)
    doors.add_post("/v1/session", begin)
    doors.add_delete("/v1/session", end)


def _told(principals: Principals, principal: Principal) -> dict[str, Any]:
    key = principals.keys.by_id(principal.key_id) if principal.key_id else None
    return {
        "success": True,
        "name": key.name if key else None,
        "roles": sorted(principal.roles),
        "needsKey": principals.is_closed,
    }


def _refuse_foreign(request: web.Request) -> None:
    if is_foreign(request):
        raise RequestRefused(
            403, "Origin: expected this host's own page; other pages show a key with each request"
        )


async def _shown(request: web.Request) -> str:
    body = parsed_json(utf8_text(await read_body(request, _MAX_BYTES)), "body")
    key = body.get("key") if isinstance(body, dict) else None
    if not isinstance(key, str):
        raise bad_field("key", "a text", "nothing" if key is None else type(key).__name__)
    return key.strip()
