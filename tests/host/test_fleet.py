"""Three hosts and four module processes on one Redis, and clients that ask whichever is nearest."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from puppet import Caller
from redis_server import PROGRAMS, RedisServer, redis_server

from host.app import Host
from host.settings import load_settings
from host.store.redis import RedisConnections, RedisStore
from host.switchboard.redis import RedisSwitchboard
from host.wakeups import until_set
from host.work.leases import LeaseTerms

REPO = Path(__file__).resolve().parents[2]
MODULE = "minimal_long_process"
STATUS = f"/v1/{MODULE}/get_command_status"
HOSTS, MODULES, CLIENTS = 3, 4, 16


@pytest.fixture(params=PROGRAMS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis", program=request.param) as running:
        yield running


def write_root(root: Path) -> None:
    """A deployment that knows the example module and launches none."""
    root.mkdir(parents=True)
    examples = (REPO / "examples").iterdir()
    settings = {
        "Server": {"Port": 0, "ModuleFolders": [str(REPO / "examples")]},
        "Modules": {one.name: {"LaunchSettings": {"AutoStart": False}} for one in examples},
    }
    (root / "modulesettings.json").write_text(json.dumps(settings), encoding="utf-8")


@asynccontextmanager
async def fleet_host(root: Path, url: str, leases: LeaseTerms) -> AsyncIterator[Host]:
    """One host of those on a Redis."""
    write_root(root)
    connections = RedisConnections(url)
    store, switchboard = RedisStore(connections), RedisSwitchboard(connections)
    host = Host(load_settings(root), store=store, switchboard=switchboard, leases=leases)
    await host.start()
    try:
        yield host
    finally:
        await host.stop()


@contextmanager
def module_process(host_url: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The example module, away from its host: it only knows where that is."""
    folder = REPO / "examples" / MODULE
    env = {
        **os.environ,
        "CPAI_HOST_URL": host_url,
        "CPAI_MODULE_ID": MODULE,
        "CPAI_MODULE_PARALLELISM": "4",
        "PYTHONPATH": str(REPO),
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(folder / "count_words_adapter.py")],
            cwd=folder,
            env=env,
            stdout=out,
            stderr=out,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


class Fleet:
    """Hosts and modules, and requests to any of the hosts."""

    def __init__(
        self,
        hosts: list[Host],
        modules: list[subprocess.Popen[bytes]],
        session: aiohttp.ClientSession,
    ) -> None:
        self.hosts, self.modules = hosts, modules
        self._callers = [Caller(session, host.url) for host in hosts]

    @property
    def any_host(self) -> Caller:
        return random.choice(self._callers)

    async def until_ready(self, count: int) -> None:
        """All modules are known to all hosts."""
        while any(len(self._ready(host)) < count for host in self.hosts):
            ended = [one.returncode for one in self.modules if one.poll() is not None]
            assert not ended, f"module processes have ended: {ended}"
            await asyncio.sleep(0.05)

    def _ready(self, host: Host) -> list[str]:
        return [one.instance_id for one in host.registry.instances(MODULE) if one.is_ready]

    async def start(self, words: int, word: str, delay_ms: int = 0) -> str:
        values = {"words": words, "word": word, "delay_ms": delay_ms}
        return str((await self.any_host.post("/v1/example/count-words", values))["commandId"])

    async def follow(self, command_id: str) -> dict[str, Any]:
        """The end of a command, asked for at one host after another."""
        offset = 0
        while True:
            values = {"commandId": command_id, "offset": offset, "wait": 10}
            status = await self.any_host.post(STATUS, values)
            if status["state"] in ("completed", "cancelled", "failed"):
                return await self.any_host.post(STATUS, {"commandId": command_id})
            offset = status["nextOffset"]


@asynccontextmanager
async def fleet(
    tmp_path: Path, url: str, modules: int, leases: LeaseTerms | None = None
) -> AsyncIterator[Fleet]:
    """Module processes spread over the hosts, all of them ready."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        hosts = [
            await stack.enter_async_context(
                fleet_host(tmp_path / f"host{n}", url, leases or LeaseTerms())
            )
            for n in range(HOSTS)
        ]
        processes = [
            stack.enter_context(module_process(hosts[n % HOSTS].url, tmp_path / f"module{n}.log"))
            for n in range(modules)
        ]
        made = Fleet(hosts, processes, session)
        await made.until_ready(modules)
        yield made


def counted(words: int, word: str) -> str:
    """What the module writes: a function of its input."""
    return "".join(f"{word}{n} " for n in range(1, words + 1))


@pytest.mark.parametrize("count", [200, pytest.param(2000, marks=pytest.mark.slow)])
async def test_all_end_each_once(tmp_path: Path, server: RedisServer, count: int) -> None:
    random.seed(count)
    async with fleet(tmp_path, server.url, MODULES) as run:
        numbers = iter(range(count))

        async def client() -> None:
            for n in numbers:
                command_id = await run.start(words := n % 7 + 1, word := f"w{n}-")
                status = await run.follow(command_id)
                assert (status["state"], status["reply"]) == ("completed", counted(words, word))

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        stats = await run.hosts[0].store.stats(f"{MODULE}_queue")
        assert (stats.waiting, stats.running) == (0, 0)
        assert (stats.completed, stats.failed, stats.cancelled) == (count, 0, 0)


async def test_redis_restarts_in_the_middle(tmp_path: Path, server: RedisServer) -> None:
    """Nobody sees more than a pause: no request fails, nothing is lost, done twice or cut."""
    async with fleet(tmp_path, server.url, MODULES) as run:
        numbers, ended = iter(range(150)), asyncio.Event()

        async def client() -> None:
            for n in numbers:
                command_id = await run.start(words := n % 20 + 1, word := f"w{n}-", delay_ms=10)
                status = await run.follow(command_id)
                assert (status["state"], status["reply"]) == ("completed", counted(words, word))

        async def restarts() -> int:
            count = 0
            while not ended.is_set():
                await until_set(ended, 0.4)
                server.kill()
                await asyncio.to_thread(server.start)
                count += 1
            return count

        restarting = asyncio.create_task(restarts())
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
        ended.set()
        assert await restarting >= 2
        stats = await run.hosts[0].store.stats(f"{MODULE}_queue")
        assert (stats.waiting, stats.running, stats.completed) == (0, 0, 150)


async def test_a_frozen_module_loses_its_claim_for_good(
    tmp_path: Path, server: RedisServer
) -> None:
    leases = LeaseTerms(lease_s=4.0, renew_every_s=0.5)
    async with fleet(tmp_path, server.url, 1, leases) as run:
        command_id = await run.start(1000, "w", delay_ms=20)
        shown = ""
        while not shown:
            values = {"commandId": command_id, "offset": 0, "wait": 10}
            shown = (await run.any_host.post(STATUS, values))["delta"]
        run.modules[0].send_signal(signal.SIGSTOP)
        ended = await run.follow(command_id)
        assert (ended["state"], ended["success"]) == ("failed", False)
        assert "no sign of life" in ended["error"]
        assert counted(1000, "w").startswith(ended["reply"]) and ended["reply"].startswith(shown)
        run.modules[0].send_signal(signal.SIGCONT)
        await run.until_ready(1)
        again = await run.start(2, "again")  # it goes on, and works
        assert (await run.follow(again))["reply"] == counted(2, "again")
        stands = await run.any_host.post(STATUS, {"commandId": command_id})
        assert (stands["state"], stands["reply"]) == ("failed", ended["reply"])
