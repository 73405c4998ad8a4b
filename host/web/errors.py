"""What can be wrong with a request, and the one place where that becomes an HTTP answer."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from host.commands import CommandError, IllegalMove, StaleAttempt, UnknownCommand
from host.modules import ModuleDidNotAnswer
from host.store.protocol import QueueFull
from host.web.replies import json_reply

_log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RequestRefused(Exception):
    """A request that cannot be served, with the status that says whose fault it is."""

    def __init__(self, status: int, error: str, **headers: str) -> None:
        super().__init__(error)
        self.status, self.error = status, error
        self.headers = {key.replace("_", "-"): value for key, value in headers.items()}


def bad_field(field: str, expected: str, got: str) -> RequestRefused:
    """400 that names the field, what was expected, and what came."""
    return RequestRefused(400, f"{field}: expected {expected}, got {got}")


def _status_of(error: Exception) -> int:
    if isinstance(error, UnknownCommand):
        return 404
    if isinstance(error, (StaleAttempt, IllegalMove)):
        return 409
    if isinstance(error, QueueFull):
        return 429
    return 504 if isinstance(error, ModuleDidNotAnswer) else 500


def _refusal(error: Exception, request: web.Request) -> RequestRefused:
    if isinstance(error, RequestRefused):
        return error
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        limit_mb = request.client_max_size / 2**20
        return RequestRefused(413, f"the body is larger than the {limit_mb:g} MB this host takes")
    if isinstance(error, web.HTTPException):
        return RequestRefused(error.status, f"{request.method} {request.path}: {error.reason}")
    status = _status_of(error)
    headers = {"Retry_After": "5"} if status == 429 else {}
    if status == 500:
        _log.error("%s %s failed", request.method, request.path, exc_info=error)
        return RequestRefused(500, f"the host failed: {type(error).__name__}: {error}")
    return RequestRefused(status, str(error), **headers)


@web.middleware
async def error_replies(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refused request is answered with `{success: false, error, code}` and a true status."""
    try:
        return await handler(request)
    except (
        RequestRefused,
        CommandError,
        QueueFull,
        ModuleDidNotAnswer,
        web.HTTPException,
    ) as error:
        if isinstance(error, web.HTTPException) and error.status < 400:
            raise
        refused = _refusal(error, request)
    except ConnectionError:
        raise  # the client has gone: nobody is left to be told
    except Exception as error:
        refused = _refusal(error, request)
    body = {"success": False, "error": refused.error, "code": refused.status}
    return json_reply(request, body, status=refused.status, headers=refused.headers)
