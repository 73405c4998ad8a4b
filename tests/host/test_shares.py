"""One client that asks as fast as it can, under any number of names, and another one."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import aiohttp
import pytest
from puppet import Caller, Puppet, caller_from, running_host, write_root

from host.store.shares import is_within_share

TELL = "/v1/text/tell"
SLOTS = 2


@pytest.mark.parametrize(("clients", "each"), [(1, 500), (2, 333), (4, 200), (20, 47)])
def test_each_of_many_may_have_as_much_as_they_leave(clients: int, each: int) -> None:
    own = [0] * clients
    for one in itertools.cycle(range(clients)):
        if not is_within_share(own[one] + 1, sum(own) + 1, 1000, 16):
            break
        own[one] += 1
    assert min(own) == each
    assert sum(own) < 1000


async def flood(client: Caller, number: int) -> None:
    """Under a new name each time, until the host refuses, and then on."""
    for one in itertools.count():
        names = {
            "Authorization": f"Bearer made up {number} {one}",
            "X-Forwarded-For": f"10.0.{one // 250 % 250}.{one % 250}",
            "User-Agent": f"client {one}",
        }
        await client.call("POST", TELL, json={"prompt": "greedy"}, headers=names)


@pytest.mark.parametrize("length", [40, 1000])
async def test_another_starts_after_at_most_one_of_a_greedy_client_per_slot(
    tmp_path: Path, session: aiohttp.ClientSession, length: int
) -> None:
    async with (
        running_host(write_root(tmp_path, {"MaxQueueLength": length})) as host,
        caller_from("127.0.0.2", host.url) as honest,
    ):
        puppets = [Puppet(session, host.url, f"p{one}") for one in range(SLOTS)]
        await puppets[0].poll(wait=0)
        greedy = Caller(session, host.url)
        floods = [asyncio.create_task(flood(greedy, one)) for one in range(4)]
        running = [await one.take() for one in puppets]
        for _ in range(3):
            await asyncio.sleep(0.2)
            command_id = await honest.tell("honest")
            begun = 0
            while (await honest.status(command_id))["state"] == "queued":
                puppet = puppets[begun % SLOTS]
                work = running[begun % SLOTS]
                await puppet.finish(work, 0, "done")
                running[begun % SLOTS] = await puppet.take()
                begun += 1
            assert begun - 1 <= SLOTS, "at most one of his for each slot went before"
        for one in floods:
            assert not one.done()
            one.cancel()
        await asyncio.gather(*floods, return_exceptions=True)


async def test_a_greedy_client_is_told_of_its_share(tmp_path: Path) -> None:
    async with (
        running_host(write_root(tmp_path, {"MaxQueueLength": 40})) as host,
        caller_from("127.0.0.2", host.url) as greedy,
        caller_from("127.0.0.3", host.url) as honest,
    ):
        await Puppet(greedy.session, host.url).poll(wait=0)
        for _ in range(20):
            await greedy.tell()
        for _ in range(3):
            status, body = await greedy.call("POST", TELL, json={"prompt": "x"})
            assert (status, body["retryAfterMs"]) == (429, None)
            assert "20 commands of this client waiting, of 20" in body["error"]
            assert "MaxQueueLength" in body["error"]
        assert await honest.tell()
