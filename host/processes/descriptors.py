"""File descriptors: as many as the system allows, and what follows from their number.

Invariant: connections never take the last ones: the store, the log and modules' pipes need some.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from contextlib import suppress
from typing import Any

if sys.platform != "win32":
    import resource

_log = logging.getLogger(__name__)

WANTED = 65_536  # more are of no use, and some programs that modules start look at each
KEPT = 256  # for everything that is no connection, and for those that are about to be closed
SAID_EVERY_S = 60.0


def allow_more_descriptors() -> None:
    """Raise this process's own limit as far as it may."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # some systems have a lower one that they do not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections(wanted: int) -> int:
    """How many connections there may be: as many as are wanted, or as the limit leaves."""
    if sys.platform == "win32":
        return wanted
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, max(soft - KEPT, soft // 2)))


def say_seldom_that_none_is_left(loop: asyncio.AbstractEventLoop) -> None:
    """A connection that cannot be accepted is tried again every second, a hundred times: the log
    has it once a minute."""
    said_s = -SAID_EVERY_S

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal said_s
        if "socket.accept()" not in str(context.get("message")):
            loop.default_exception_handler(context)
        elif time.monotonic() - said_s >= SAID_EVERY_S:
            said_s = time.monotonic()
            error = context.get("exception")
            _log.error(
                "connections cannot be accepted: %s; raise LimitNOFILE of the service, or "
                "`ulimit -n`",
                error,
            )

    loop.set_exception_handler(handle)
