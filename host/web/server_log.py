"""What the HTTP server itself says goes to the log, but for what clients did wrong.

Invariant: a client's broken request writes no traceback; those that remain are the host's own.
InvalidStateError is aiohttp's own, of a request that it cancels when the host stops.
"""

from __future__ import annotations

import logging
from asyncio import InvalidStateError

from host.web.errors import MALFORMED


class _Quiet(logging.Filter):
    """Tells what clients did wrong from what went wrong here."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, (*MALFORMED, ConnectionError, InvalidStateError)):
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
