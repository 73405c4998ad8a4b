"""`llamachat ask`: one question from the command line; the reply is printed as it grows."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, TextIO

from host.cli.client import HostClient, HostError

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
EXIT_UNREAD = 141  # 128 + SIGPIPE, likewise
CANCEL_WITHIN_S = 3.0


async def ask(
    url: str,
    values: dict[str, Any],
    token: str | None = None,
    out: TextIO = sys.stdout,
    err: TextIO = sys.stderr,
) -> int:
    """Start a chat, print what comes, and return the exit code.

    When the task is cancelled (Ctrl-C) the command is cancelled too, and the code is 130. When
    nobody reads `out` any more (`| head`) it is cancelled as well; raises BrokenPipeError.
    """
    async with HostClient(url, token) as client:
        started: dict[str, Any] | None = None
        try:
            started = await client.start("text/chat", **values)
            return await _print_reply(client, started, out, err)
        except HostError as error:
            print(f"llamachat: {error}", file=err)
            return EXIT_FAILED
        except BrokenPipeError:
            if started is not None:
                await _cancel(client, started, err)
            raise
        except asyncio.CancelledError:
            if started is not None:
                await _cancel(client, started, err)
            return EXIT_INTERRUPTED


async def _print_reply(
    client: HostClient, started: dict[str, Any], out: TextIO, err: TextIO
) -> int:
    place = None
    async for status in client.follow(started):
        if status["queuePosition"] not in (0, place) and err.isatty():
            place = status["queuePosition"]
            print(f"waiting in the queue, place {place}", file=err)
        out.write(status["delta"])
        out.flush()
    out.write("\n")
    if not status["success"]:
        print(f"llamachat: {status['error']}", file=err)
        return EXIT_FAILED
    if status["stop_reason"] == "length":
        print("llamachat: the reply ended at its length limit", file=err)
    return EXIT_INTERRUPTED if status["stop_reason"] == "cancelled" else 0


async def _cancel(client: HostClient, started: dict[str, Any], err: TextIO) -> None:
    try:
        await asyncio.wait_for(client.cancel(started), CANCEL_WITHIN_S)
        print("\nllamachat: cancelled", file=err)
    except (HostError, asyncio.TimeoutError) as error:
        print(f"\nllamachat: the command could not be cancelled: {error}", file=err)
