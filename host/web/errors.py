"""What can be wrong with a request, and the one place where that becomes an HTTP answer."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from host.commands import IllegalMove, StaleAttempt, UnknownCommand
from host.instances.registry import ModuleDidNotAnswer
from host.store.protocol import StoreUnavailable
from host.store.shares import RETRY_SHARE_S
from host.web.replies import json_reply
from host.work.follow import NoAnswer
from host.work.intake import (
    HostCloses,
    KeyTaken,
    NobodyServes,
    NotAccepted,
    ShareTaken,
    TooManyWait,
)

_log = logging.getLogger(__name__)

STORE_BACK_S = 2.0  # a store that restarts is there again after about this long
SHOWN_CHARS = 80  # of what a client calls something
_MALFORMED_CHARS = 200
SUCCESSOR_S = 5.0  # when to ask again a host that is about to end: its successor may be there

MALFORMED = (HttpProcessingError, web.RequestPayloadError, UnicodeEncodeError)
"""What comes of bytes that are not what their headers, or JSON, say they are."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RequestRefused(Exception):
    """A request that cannot be served, with the status that says whose fault it is.

    `fields` join the body of the answer.
    """

    def __init__(
        self, status: int, error: str, *, fields: dict[str, Any] | None = None, **headers: str
    ) -> None:
        super().__init__(error)
        self.status, self.error, self.fields = status, error, fields or {}
        self.headers = {key.replace("_", "-"): value for key, value in headers.items()}


def bad_field(field: str, expected: str, got: str) -> RequestRefused:
    """400 that names the field, what was expected, and what came; of a name that a client made up
    its beginning."""
    return RequestRefused(400, f"{field[:SHOWN_CHARS]}: expected {expected}, got {got}")


def try_later(status: int, error: str, wait_s: float | None, guess_s: float) -> RequestRefused:
    """A refusal that ends by itself: 429 or 503, with when to come again.

    `wait_s` is what is known, in `retryAfterMs`; without it `guess_s` stands in `Retry-After`,
    which is whole seconds, 1 at least (RFC 9110, 10.2.3).
    """
    seconds = max(1, math.ceil(guess_s if wait_s is None else wait_s))
    fields = {"retryAfterMs": None if wait_s is None else round(wait_s * 1000)}
    return RequestRefused(status, error, fields=fields, Retry_After=str(seconds))


def _status_of(error: Exception) -> int:
    if isinstance(error, UnknownCommand):
        return 404
    if isinstance(error, (StaleAttempt, IllegalMove)):
        return 409
    return 504 if isinstance(error, (ModuleDidNotAnswer, NoAnswer)) else 500


def refusal_of(error: Exception, request: web.Request) -> RequestRefused:
    """Whose fault it is, and what to do about it."""
    if isinstance(error, RequestRefused):
        return error
    if isinstance(error, MALFORMED):
        return _malformed(error, request)
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        limit_mb = request.client_max_size / 2**20
        return RequestRefused(
            413,
            f"body: expected at most {limit_mb:.6g} MB, got more: send less, or set a larger "
            "MaxBodyMB under Server in the host's modulesettings.json",
        )
    if isinstance(error, web.HTTPException):
        return RequestRefused(error.status, f"{request.method} {request.path}: {error.reason}")
    if isinstance(error, NotAccepted):
        return _not_accepted(error)
    if isinstance(error, StoreUnavailable):
        return try_later(503, f"the store is not available now: {error}", STORE_BACK_S, 0)
    status = _status_of(error)
    if status == 500:
        resource = request.match_info.route.resource  # its path names commands
        path = "a path" if resource is None else resource.canonical
        _log.error("%s %s failed", request.method, path, exc_info=error)
        return RequestRefused(500, f"the host failed: {type(error).__name__}: {error}")
    return RequestRefused(status, str(error))


def _malformed(error: Exception, request: web.Request) -> RequestRefused:
    if isinstance(error, UnicodeEncodeError):
        unsaid = error.object[error.start]
        if any(unsaid in value for value in request.headers.values()):
            return bad_field("headers", "text in UTF-8", "bytes that are none")
        return bad_field("body", "whole Unicode characters", "half of a surrogate pair")
    expected = "what its headers (Content-Encoding, Transfer-Encoding, boundary) say"
    return bad_field("body", expected, " ".join(str(error).split())[:_MALFORMED_CHARS])


def _not_accepted(error: NotAccepted) -> RequestRefused:
    if isinstance(error, TooManyWait):
        return try_later(429, str(error), error.wait_s, error.longest_run_s)
    if isinstance(error, KeyTaken):
        return RequestRefused(422, str(error))
    if isinstance(error, ShareTaken):
        return try_later(429, str(error), None, RETRY_SHARE_S)
    if isinstance(error, HostCloses):
        return try_later(503, str(error), None, SUCCESSOR_S)
    if isinstance(error, NobodyServes) and error.next_try_s is not None:
        return try_later(503, str(error), error.next_try_s, 0)
    return RequestRefused(503, str(error))


def told(refused: RequestRefused, request: web.Request) -> web.Response:
    """The answer that says so."""
    body = {"success": False, "error": refused.error, "code": refused.status, **refused.fields}
    return json_reply(request, body, status=refused.status, headers=refused.headers)
