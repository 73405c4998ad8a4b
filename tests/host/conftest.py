"""A host with the puppet module, its clients and puppets; a supervisor in its own world."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import psutil
import pytest
from puppet import Caller, Puppet, running_host, write_root
from redis_server import PROGRAMS, RedisServer, redis_server
from world import World

from host.app import Host


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with running_host(write_root(tmp_path)) as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as open_session:
        yield open_session


@pytest.fixture
async def puppet(host: Host, session: aiohttp.ClientSession) -> Puppet:
    made = Puppet(session, host.url)
    await made.poll(wait=0)  # it is alive: the host takes commands for it
    return made


@pytest.fixture
async def old_puppet(host: Host, session: aiohttp.ClientSession) -> Puppet:
    made = Puppet(session, host.url, instance_id=None)
    await made.poll(wait=0)
    return made


@pytest.fixture
async def client(host: Host, session: aiohttp.ClientSession) -> Caller:
    return Caller(session, host.url)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    before = psutil.Process().children()
    made = World(tmp_path)
    yield made
    for supervisor in made.made:
        await supervisor.stop_all()
    assert set(psutil.Process().children()) <= set(before)


@pytest.fixture(scope="module", params=PROGRAMS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """One for all tests of a file, each in a namespace of its own."""
    folder, program = tmp_path_factory.mktemp("redis"), request.param
    with redis_server(folder, "--appendfsync", "no", program=program) as running:
        yield running
