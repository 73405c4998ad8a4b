"""Two hosts on one Redis, killed in turn; and Redis itself killed and restarted."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from clients import Report, crowd
from hosts import SEED, HostProcess, remote_modules, until_ready, write_root
from redis_server import RedisServer

INSTANCES = 2

Kill = Callable[[int], Awaitable[None]]


@asynccontextmanager
async def pair(tmp_path: Path, url: str, modules: str) -> AsyncIterator[list[HostProcess]]:
    """Two hosts, and modules of their own, or elsewhere: those know both."""
    roots = [tmp_path / name for name in ("a", "b")]
    for root in roots:
        write_root(root, url, launches=modules == "their own")
    hosts = [HostProcess(root) for root in roots]
    await asyncio.gather(*(host.start() for host in hosts))
    with ExitStack() as stack:
        for host in hosts:
            stack.callback(host.stop)
        if modules == "elsewhere":
            urls = [host.url for host in hosts]
            stack.enter_context(remote_modules(roots[0], urls, INSTANCES))
        for host in hosts:
            await until_ready(host, INSTANCES)
        yield hosts
    for host in hosts:
        await host.until_no_module_is_left()


async def through(
    hosts: list[HostProcess], clients: int, kills: int, kill: Kill, pause_s: tuple[float, float]
) -> dict[str, Any]:
    """The figures of clients that work while `kill(number)` is called so often."""
    begun_s = time.monotonic()
    chance, done = random.Random(SEED), 0
    async with crowd([host.url for host in hosts], SEED, kills=lambda: done) as run:

        async def disturb() -> None:
            nonlocal done
            for number in range(kills):
                await asyncio.sleep(chance.uniform(*pause_s))
                done += 1
                await kill(number)
            run.is_over = True

        await asyncio.gather(run.run(clients), disturb())
        await run.check_again()
        stats, figures = await run.stats(), run.figures()
    assert [stats[one] for one in ("waiting", "running")] == [0, 0]
    assert {one: stats[one] for one in run.ends} == dict(run.ends)  # each has ended once
    took_s = round(time.monotonic() - begun_s)
    return {"seed": SEED, "kills": kills, **figures, "s": took_s}


@pytest.mark.parametrize("modules", ["their own", "elsewhere"])
@pytest.mark.parametrize(
    ("clients", "kills"),
    [(40, 2), pytest.param(500, 20, marks=[pytest.mark.slow, pytest.mark.timeout(400)])],
)
async def test_hosts_are_killed_in_turn(
    tmp_path: Path, server: RedisServer, report: Report, clients: int, kills: int, modules: str
) -> None:
    """The other serves on: a client whose request failed tries it there, and that does it.

    A module finishes what it has begun: elsewhere at the other host, one that its dead host had
    launched at that one's successor.
    """
    async with pair(tmp_path, server.url, modules) as hosts:

        async def kill(number: int) -> None:
            host = hosts[number % 2]
            host.kill()
            await host.start()

        figures = await through(hosts, clients, kills, kill, (0.3, 2.0))
    report(figures)
    assert figures["failed retries"] == 0
    assert figures["failed"] == 0


@pytest.mark.parametrize(
    ("clients", "kills"),
    [(40, 2), pytest.param(500, 10, marks=[pytest.mark.slow, pytest.mark.timeout(400)])],
)
async def test_redis_is_killed(
    tmp_path: Path, server: RedisServer, report: Report, clients: int, kills: int
) -> None:
    """By turns as the kernel would and as an operator would: nobody sees more than a pause."""
    async with pair(tmp_path, server.url, "elsewhere") as hosts:

        async def kill(number: int) -> None:
            server.stop() if number % 2 else server.kill()
            await asyncio.to_thread(server.start)

        figures = await through(hosts, clients, kills, kill, (0.5, 3.0))
    report(figures)
    assert figures["failed requests"] == 0
    assert figures["failed"] == 0
