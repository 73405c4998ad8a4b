"""`llamachat drain`: tell a host to begin nothing more, and wait until it has ended."""

from __future__ import annotations

import asyncio
import sys
from typing import TextIO

import aiohttp

from host.cli.client import HostClient, HostError

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
LOOK_EVERY_S = 0.5


async def drain(
    url: str, token: str | None = None, out: TextIO = sys.stdout, err: TextIO = sys.stderr
) -> int:
    """Print how many commands still run, whenever that changes; return the exit code.

    `token` is an operator's key, or what else the host lets operators in for.
    When the task is cancelled (Ctrl-C) only the waiting ends: the host goes on draining.
    """
    async with HostClient(url, token) as client:
        try:
            running = int((await client.call("POST", "/v1/server/drain"))["running"])
        except HostError as error:
            print(f"llamachat: {error}", file=err)
            return EXIT_FAILED
        try:
            await _until_gone(client, running, out)
        except asyncio.CancelledError:
            print("llamachat: not waiting any more; the host goes on draining", file=err)
            return EXIT_INTERRUPTED
    print("drained: the host has ended", file=out)
    return 0


async def _until_gone(client: HostClient, running: int, out: TextIO) -> None:
    said = None
    while True:
        if running != said:
            print(f"draining: {running} running", file=out, flush=True)
            said = running
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            stats = await client.call("GET", "/v1/stats")
        except HostError as error:
            if isinstance(error.__cause__, aiohttp.ClientError):  # gone, which was asked for
                return
            continue  # its store is away, say
        if not stats.get("draining"):  # another host answers at this address already
            return
        running = int(stats["runningHere"])
