"""A system clock that is set: nobody looks dead, no estimate and no claim changes."""

from __future__ import annotations

import secrets
import time
from datetime import datetime

import pytest
from clocks import jump
from puppet import Caller, Puppet
from redis_server import RedisServer

from host.app import Host
from host.instances.instance import merged
from host.store.redis import RedisConnections
from host.switchboard.protocol import Sighting
from host.switchboard.redis import RedisSwitchboard
from host.work import endings

BOTH_WAYS = pytest.mark.parametrize("by_s", [3600.0, -3600.0])


@BOTH_WAYS
async def test_nobody_looks_dead_and_commands_are_taken(
    host: Host, puppet: Puppet, client: Caller, monkeypatch: pytest.MonkeyPatch, by_s: float
) -> None:
    await puppet.tell_status(state="ready")
    jump(monkeypatch, by_s)
    _, body = await client.call("GET", "/v1/module/list/status")
    (instance,) = body["statuses"][0]["instances"]
    assert instance["status"] == "Started"
    shown = datetime.fromisoformat(instance["lastSeen"])
    assert abs(shown.timestamp() - time.time()) < 30, "what is shown is by the system's clock"
    command_id = await client.tell()
    assert (await puppet.take())["reqid"] == command_id


@BOTH_WAYS
async def test_estimates_stay(
    host: Host, puppet: Puppet, client: Caller, monkeypatch: pytest.MonkeyPatch, by_s: float
) -> None:
    await puppet.tell_status(state="ready", slots=1)
    ended = await client.tell()
    work = await puppet.take()
    await client.status(ended, wait=1.0)  # a second is the mean
    await puppet.finish(work, 0, "done")
    await client.tell("runs")
    await puppet.take()
    jump(monkeypatch, by_s)
    waiting = await client.tell("waits")
    estimate_ms = (await client.status(waiting))["estimatedStartMs"]
    assert 250 <= estimate_ms <= 3000, estimate_ms
    _, stats = await client.call("GET", "/v1/stats")
    assert 0 < stats["queues"][0]["expectedWaitMs"] <= 6000


@BOTH_WAYS
async def test_a_young_claim_stays_with_its_module(
    host: Host, puppet: Puppet, client: Caller, monkeypatch: pytest.MonkeyPatch, by_s: float
) -> None:
    command_id = await client.tell()
    await puppet.take()
    jump(monkeypatch, by_s)
    for _ in range(3):
        await puppet.tell_status(state="ready", commands=[])
    assert (await client.status(command_id))["state"] == "running"


async def test_a_claim_that_never_arrived_is_given_again_although_the_clock_went_back(
    host: Host, puppet: Puppet, client: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "DELIVERY_S", 0.01)
    command_id = await client.tell()
    await puppet.take()
    jump(monkeypatch, -3600.0)
    while (await client.status(command_id, wait=0.02))["state"] == "running":
        await puppet.tell_status(state="ready", commands=[])
    assert (await puppet.take())["reqid"] == command_id


async def test_hosts_whose_clocks_differ_agree_on_who_lives(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace = secrets.token_hex(8)
    boards = [RedisSwitchboard(RedisConnections(server.url, namespace=namespace)) for _ in range(2)]
    for board in boards:
        await board.open()
    now = time.monotonic()
    jump(monkeypatch)
    await boards[0].exchange([Sighting("Chat", "one", 2, now - 5, now - 2)])
    jump(monkeypatch, -7200.0)
    (heard,) = await boards[1].exchange([])
    assert merged(None, heard).is_alive
    assert abs(heard.last_seen - (now - 2)) < 5
    for board in boards:
        await board.close()


async def test_those_who_died_idle_leave_the_list(
    host: Host, puppet: Puppet, client: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await puppet.tell_status(state="ready")
    instance = host.registry.find("p1")
    assert instance is not None
    assert await _listed(client) == {"p1": "Started"}
    instance.last_seen -= 60
    assert await _listed(client) == {"p1": "Unknown"}
    await host.sweeper.sweep()
    assert await _listed(client) == {"p1": "Unknown"}, "whoever looks is to see what is missing"
    instance.last_seen -= 300
    await host.sweeper.sweep()
    assert await _listed(client) == {}
    await puppet.tell_status(state="ready")
    assert await _listed(client) == {"p1": "Started"}, "it was not dead after all"


async def _listed(client: Caller) -> dict[str, str]:
    _, body = await client.call("GET", "/v1/module/list/status")
    return {one["instanceId"]: one["status"] for one in body["statuses"][0]["instances"]}
