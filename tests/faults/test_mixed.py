"""Everything at once: hosts, modules and the store's server are killed at random, while clients
start, poll, follow and cancel: nothing is lost, no text has a gap or comes twice."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis_server as servers
from clients import Crowd, Report, crowd
from hosts import PATIENT_HOST, SEED, HostProcess, kill_one, until_ready, write_root

PAUSE_S = (0.5, 2.0)  # between two kills
FULL = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[servers.RedisServer | None]:
    """As deploy/redis.conf has it; None for the local store."""
    if request.param == "local":
        yield None
        return
    program = f"{request.param}-server"
    if program not in servers.NAMES:
        pytest.skip(f"there is no {program} on the PATH")
    options = ("--appendfsync", "everysec")
    with servers.redis_server(tmp_path / "redis", *options, program=program) as running:
        yield running


@pytest.mark.parametrize(
    ("server", "clients", "seconds"),
    [
        ("local", 20, 3),
        pytest.param("local", 200, 600, marks=FULL),
        pytest.param("redis", 20, 8, marks=FULL),
        pytest.param("redis", 200, 600, marks=FULL),
        pytest.param("valkey", 200, 600, marks=FULL),
    ],
    indirect=["server"],
)
async def test_everything_is_killed(
    tmp_path: Path,
    server: servers.RedisServer | None,
    report: Report,
    clients: int,
    seconds: float,
) -> None:
    begun_s = time.monotonic()
    roots = [tmp_path / name for name in (("a",) if server is None else ("a", "b"))]
    for root in roots:
        write_root(root, "local" if server is None else server.url, instances=2)
    hosts = [HostProcess(root, PATIENT_HOST) for root in roots]
    await asyncio.gather(*(host.start() for host in hosts))
    with ExitStack() as stack:
        for host in hosts:
            stack.callback(host.stop)
            await until_ready(host, 2)
        urls, is_local = [host.url for host in hosts], server is None
        async with crowd(urls, SEED, may_lose_tail=is_local) as run:
            kills = Kills(hosts, server)
            await asyncio.gather(run.run(clients), kills.go_on(run, seconds))
            await run.check_again()
            stats, figures = await run.stats(), run.figures()
    lost = max(watch.lost_characters for watch in run.watches)
    del figures["failed retries"]  # a host that was killed is away for a while: they are many
    took_s = round(time.monotonic() - begun_s)
    for host in hosts:
        await host.until_no_module_is_left()
    figures |= {"longest lost tail": lost, "s": took_s}
    report({"seed": SEED, **kills.done, **figures})
    assert [stats[one] for one in ("waiting", "running")] == [0, 0]
    assert {one: stats[one] for one in run.ends} == dict(run.ends)  # each has ended once


class Kills:
    """Whom chance picks; `done` counts them."""

    def __init__(self, hosts: list[HostProcess], server: servers.RedisServer | None) -> None:
        self._hosts = hosts
        self._server = server
        self._chance = random.Random(SEED)
        self.done = {"hosts killed": 0, "modules killed": 0, "servers killed": 0}

    async def go_on(self, run: Crowd, seconds: float) -> None:
        """Until so many seconds are over."""
        ways: list[Callable[[], Awaitable[None]]] = [self._module, self._module, self._host]
        ways += [self._redis] if self._server is not None else []
        ends_s = time.monotonic() + seconds
        while time.monotonic() < ends_s:
            self._chance.shuffle(ways)
            for kill in ways:  # each comes its turn, in any order
                await asyncio.sleep(self._chance.uniform(*PAUSE_S))
                await kill()
        run.is_over = True

    async def _module(self) -> None:
        pids = self._chance.choice(self._hosts).module_pids()
        self.done["modules killed"] += kill_one(pids, self._chance)

    async def _host(self) -> None:
        host = self._chance.choice(self._hosts)
        self.done["hosts killed"] += 1
        host.kill()
        await host.start()

    async def _redis(self) -> None:
        assert self._server is not None
        self.done["servers killed"] += 1
        self._server.kill()
        await asyncio.to_thread(self._server.start)
