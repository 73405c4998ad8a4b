"""What the host needs of the network: its port, and Redis where hosts share one."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import psutil

from host.cli.client import HostClient, HostError
from host.cli.doctor.checks import Check, bad, good
from host.settings import ServerSettings
from host.store.protocol import StoreUnavailable

ANSWER_WITHIN_S = 5.0
REDIS_WITHIN_S = 10.0

_OTHER_PORT = "choose another with Server.Port or --port"


Answers = Callable[[str], Awaitable[bool]]
"""Whether a host of ours answers at an address."""


def asked_once(answers: Answers) -> Answers:
    """The same, where a silent stranger is waited for only once."""
    known: dict[str, bool] = {}

    async def ask(url: str) -> bool:
        if url not in known:
            known[url] = await answers(url)
        return known[url]

    return ask


async def answers(url: str) -> bool:
    """Whether a host of ours answers at that address in time."""
    if not url:
        return False
    try:
        async with HostClient(url) as client:
            ping = client.call("GET", "/v1/status/ping")
            body = await asyncio.wait_for(ping, ANSWER_WITHIN_S)
    except HostError as error:
        return error.status == 401  # it is for those who have a key
    except asyncio.TimeoutError:
        return False
    return "protocol" in body


async def check_port(server: ServerSettings, answers: Answers) -> Check:
    """The port is free, or a host of ours has it already."""
    place = f"{server.host}:{server.port}"
    if not server.port:
        return good("port", f"any that is free, on {server.host}")
    problem = _bind_problem(server)
    if problem is None:
        return good("port", f"{place} is free")
    if isinstance(problem, OSError) and problem.errno == errno.EADDRINUSE:
        if await answers(server.url):
            return good("port", f"{place} is served by the host that runs")
        taker = _taker(server.port)
        return bad("port", f"{place} is taken by {taker}", f"end that program, or {_OTHER_PORT}")
    if isinstance(problem, PermissionError):
        return bad("port", f"{place}: this user may not listen there", _OTHER_PORT)
    remedy = "name an address of this machine in Server.Host or --host, such as 127.0.0.1"
    return bad("port", f"{place}: {problem}", remedy)


def _bind_problem(server: ServerSettings) -> OSError | None:
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    try:
        socket.create_server((server.host, server.port), family=family).close()
    except OSError as error:
        return error
    return None


def _taker(port: int) -> str:
    """Which program listens there, where this user may know."""
    with suppress(psutil.Error, OSError):
        for one in psutil.net_connections("tcp"):
            if (
                one.status == psutil.CONN_LISTEN
                and one.pid
                and one.laddr
                and one.laddr.port == port
            ):
                return f"{psutil.Process(one.pid).name()} (process {one.pid})"
    return "another program"


async def check_redis(url: str) -> Check:
    """The Redis that hosts share: reachable, new enough, letting this host in."""
    from host.store.redis.client import OLDEST_VERSION, RedisClient  # slow to load, seldom needed

    client = RedisClient(url)
    try:
        await asyncio.wait_for(client.open(), REDIS_WITHIN_S)
    except (StoreUnavailable, asyncio.TimeoutError) as error:
        finding = str(error) or f"Redis at {client.place}: no answer within {REDIS_WITHIN_S:g} s"
        remedy = f"start Redis {OLDEST_VERSION} or newer there, or correct Server.Store"
        return bad("redis", finding, remedy)
    finally:
        await client.close()
    return good("redis", client.place)
