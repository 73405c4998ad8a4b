"""Fixtures of the SDK's tests: a fake host, a part-1 host, and modules running on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest
from fake_host import FakeHost
from part1_host import Part1Host

from sdk.author.module_runner import ModuleRunner
from sdk.host.client import HostAddress
from sdk.process import status_loop
from sdk.process.launch import Launch
from sdk.process.module_service import ModuleService

Serve: TypeAlias = Callable[[ModuleRunner], Awaitable[ModuleService]]
MODULE_ID = "TestModule"


@pytest.fixture
async def host() -> AsyncIterator[FakeHost]:
    server = FakeHost()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def part1() -> AsyncIterator[Part1Host]:
    async with Part1Host(MODULE_ID) as server:
        yield server


class Served:
    """Modules running in this process, on this event loop."""

    def __init__(self) -> None:
        self._running: list[tuple[ModuleService, asyncio.Task[int]]] = []

    async def serve(self, url: str, runner: ModuleRunner) -> ModuleService:
        runner.module_id = runner.module_name = MODULE_ID
        address = HostAddress(url, MODULE_ID, f"{MODULE_ID.lower()}_queue", "instance1", "secret")
        service = ModuleService(runner, Launch(address))
        self._running.append((service, asyncio.ensure_future(service.run())))
        return service

    async def finish(self) -> int:
        """Waits for the last one to end by itself: its exit code."""
        return await asyncio.wait_for(self._running[-1][1], 5)

    async def end(self) -> None:
        for service, task in self._running:
            service.quit("the test is over")
            await task


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    modules = Served()
    yield modules
    await modules.end()


@pytest.fixture
def serve(host: FakeHost, served: Served) -> Serve:
    return lambda runner: served.serve(host.url, runner)


@pytest.fixture
def serve_part1(part1: Part1Host, served: Served) -> Serve:
    return lambda runner: served.serve(part1.url, runner)


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules say how they are ten times as often."""
    monkeypatch.setattr(status_loop, "STATUS_EVERY_S", 0.2)


@pytest.fixture
def finish(served: Served) -> Callable[[], Awaitable[int]]:
    return served.finish
