"""What lies around the application: what the HTTP server says of connections, and what goes wrong
before a middleware sees the request.

Invariant: a client's broken request writes no traceback, and is no fault of the host. The
tracebacks that remain are of its own faults.
"""

from __future__ import annotations

import logging

from aiohttp import web

from host.web.errors import MALFORMED
from host.web.replies import json_reply


class _Quiet(logging.Filter):
    """Tells what clients did wrong from what went wrong here."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, (*MALFORMED, ConnectionError)):
            record.levelno, record.levelname = logging.DEBUG, "DEBUG"
            record.exc_info = None
            return logging.getLogger().isEnabledFor(logging.DEBUG)
        return True


def server_log() -> logging.Logger:
    """The logger for aiohttp's server."""
    logger = logging.getLogger("host.web.server")
    if not logger.filters:
        logger.addFilter(_Quiet())
    return logger


def answer_outside(runner: web.AppRunner) -> None:
    """Of a runner that is set up: what aiohttp refuses by itself, such as an `Expect` that it does
    not know, is answered as everything else; what of it cannot even be said is 400."""
    server = runner.server
    assert server is not None, "set up first"  # noqa: S101
    inside = server.request_handler

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await inside(request)
        except web.HTTPError as error:
            status, reason = error.status, error.reason
        except MALFORMED:
            status, reason = 400, "a header cannot be read"
        body = {"success": False, "error": f"{request.method}: {reason}", "code": status}
        return json_reply(request, body, status=status)  # type: ignore[arg-type]

    server.request_handler = answer
