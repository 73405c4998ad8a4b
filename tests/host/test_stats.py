"""What `/v1/stats` says, and who may tell a host to drain."""

from __future__ import annotations

from pathlib import Path

import aiohttp
from puppet import Caller, Puppet, running_host, write_root


async def test_queues_and_instances_are_counted(puppet: Puppet, client: Caller) -> None:
    await puppet.tell_status(state="ready", slots=2, machine="gpu-1")
    ids = [await client.tell(str(n)) for n in range(5)]
    for command_id in ids[:2]:
        work = await puppet.take()
        assert work["reqid"] == command_id
        await puppet.finish(work, 0, "done")
    await puppet.take()
    await client.cancel(ids[4])
    _, stats = await client.call("GET", "/v1/stats")
    assert stats["success"] and not stats["draining"] and stats["runningHere"] == 1
    (queue,) = stats["queues"]
    counts = {"waiting": 1, "running": 1, "completed": 2, "cancelled": 1, "failed": 0}
    assert {name: queue[name] for name in counts} == counts
    assert (queue["queue"], queue["moduleId"], queue["slots"]) == ("puppet_queue", "Puppet", 2)
    assert queue["meanRunMs"] >= 0 and queue["endedPerSecond"] > 0
    assert queue["maxQueueLength"] == 1000 and queue["expectedWaitMs"] >= 0
    (module,) = stats["modules"]
    (instance,) = module["instances"]
    assert (instance["instanceId"], instance["machine"]) == ("p1", "gpu-1")
    assert (instance["slots"], instance["busy"], instance["load"]) == (2, 1, 0.5)
    assert instance["served"] == 2 and instance["lastSeen"] >= instance["firstSeen"]


async def test_an_idle_queue_has_no_wait(puppet: Puppet, client: Caller) -> None:
    await puppet.tell_status(state="ready", slots=1)
    _, stats = await client.call("GET", "/v1/stats")
    queue = stats["queues"][0]
    assert (queue["waiting"], queue["meanRunMs"], queue["expectedWaitMs"]) == (0, None, 0)


async def test_a_busy_queue_that_nobody_has_measured_promises_nothing(
    puppet: Puppet, client: Caller
) -> None:
    await client.tell()
    await puppet.take()
    await client.tell()
    _, stats = await client.call("GET", "/v1/stats")
    assert stats["queues"][0]["expectedWaitMs"] is None


async def test_drain_is_not_for_everybody(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    proxied = {"X-Forwarded-For": "1.2.3.4"}
    async with running_host(write_root(tmp_path, ModuleToken="secret")) as host:
        client = Caller(session, host.url)
        code, body = await client.call("POST", "/v1/server/drain", headers=proxied)
        assert code == 401 and "Server.ModuleToken" in body["error"]
        assert not (await client.call("GET", "/v1/status/ping"))[1]["draining"]
        headers = {**proxied, "Authorization": "Bearer secret"}
        code, body = await client.call("POST", "/v1/server/drain", headers=headers)
        assert code == 200 and body["draining"] and body["running"] == 0
        assert (await client.call("GET", "/v1/status/ping"))[1]["draining"]


async def test_modules_elsewhere_need_the_token(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    proxied = {"X-Forwarded-For": "1.2.3.4"}
    async with running_host(write_root(tmp_path)) as host:
        client = Caller(session, host.url)
        for method, path in (
            ("GET", "/v1/queue/puppet_queue?moduleId=Puppet&wait=0"),
            ("POST", "/v1/queue/some-id"),
            ("POST", "/v1/queue/updatemodulestatus/Puppet"),
            ("POST", "/v1/modules/Puppet/progress"),
            ("GET", "/v1/modules/Puppet/control?instanceId=x&wait=0"),
            ("POST", "/v1/log"),
            ("POST", "/v1/server/drain"),
        ):
            code, body = await client.call(method, path, headers=proxied)
            assert (path, code) == (path, 403)
            assert "from this machine" in body["error"]
        puppet = Puppet(session, host.url)
        assert await puppet.poll(wait=0) is None  # from here it needs none
