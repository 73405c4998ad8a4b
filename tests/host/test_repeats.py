"""Starts that are sent again with their `Idempotency-Key`, and several who wait for one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from puppet import Caller, Puppet
from store_suite import until

from host.app import Host
from host.commands import State
from host.work.follow import Follow

TELL, TALK = "/v1/text/tell", "/v1/text/talk"
KEY = {"Idempotency-Key": "k" * 200}


def form(prompt: str, data: bytes = b"data") -> dict[str, Any]:
    """Each has a boundary of its own."""
    made = aiohttp.FormData({"prompt": prompt})
    made.add_field("file", data, filename="f.bin")
    return {"data": made}


@pytest.mark.parametrize("size", [4, 300_000])
async def test_another_request_under_the_same_key(
    puppet: Puppet, client: Caller, size: int
) -> None:
    first = await client.call("POST", TELL, headers=KEY, **form("x", b"a" * size))
    again = await client.call("POST", TELL, headers=KEY, **form("x", b"a" * size))
    assert first[0] == again[0] == 200 and first[1]["commandId"] == again[1]["commandId"]
    others = [
        await client.call("POST", TELL, headers=KEY, **form("y", b"a" * size)),
        await client.call("POST", TELL, headers=KEY, **form("x", b"a" * (size - 1) + b"b")),
        await client.call("POST", f"{TELL}?prompt=x", headers=KEY, **form("x", b"a" * size)),
        await client.call("POST", f"{TELL}/aloud", headers=KEY, **form("x", b"a" * size)),
        await client.call("POST", TELL, headers=KEY, json={"prompt": "x"}),
    ]
    assert {status for status, _ in others} == {422}
    assert all(reply["error"].startswith("Idempotency-Key: expected") for _, reply in others)
    assert all(str(first[1]["commandId"]) not in str(reply) for _, reply in others)


async def test_a_key_is_its_owners_own_on_one_route(puppet: Puppet, client: Caller) -> None:
    values, elsewhere = {"prompt": "x"}, {"X-Forwarded-For": "192.0.2.1"}
    mine = await client.post(TELL, values, headers=KEY)
    theirs = await client.post(TELL, {"prompt": "another"}, headers={**KEY, **elsewhere})
    assert theirs["commandId"] != mine["commandId"]
    talking = asyncio.create_task(client.call("POST", TALK, json=values, headers=KEY))
    works = [await puppet.take() for _ in range(3)]
    assert len({work["reqid"] for work in works}) == 3
    await puppet.answer(works[2], success=True)
    assert (await talking)[0] == 200


@pytest.fixture
def follows(monkeypatch: pytest.MonkeyPatch) -> list[Follow]:
    """Those of the hosts that start later."""
    made: list[Follow] = []
    begin = Follow.__init__

    def begin_seen(self: Follow, *parts: Any) -> None:
        begin(self, *parts)
        made.append(self)

    monkeypatch.setattr(Follow, "__init__", begin_seen)
    return made


async def test_the_last_who_waits_takes_the_command_along(
    follows: list[Follow], host: Host, puppet: Puppet, client: Caller
) -> None:
    def talk() -> asyncio.Task[Any]:
        return asyncio.create_task(client.call("POST", TALK, json={"a": 1}, headers=KEY))

    waiting = [talk()]
    work = await puppet.take()
    waiting += [talk(), talk()]
    (follow,) = follows

    def counted(number: int) -> Callable[[], Awaitable[bool]]:
        async def is_so() -> bool:
            return follow.waiting[work["reqid"]] == number

        return is_so

    await until(counted(3))
    for left in (2, 1, 0):
        waiting.pop(0).cancel()
        await until(counted(left))
        if left:
            await client.call("GET", f"/v1/commands/{work['reqid']}")  # what was begun is done
            command = await host.store.read(work["reqid"])
            assert command is not None and not command.is_cancel_requested
    assert (await puppet.control())[0] == {"type": "cancel", "commandId": work["reqid"]}


async def test_all_who_wait_get_the_answer_and_so_does_who_comes_back(
    host: Host, puppet: Puppet, client: Caller
) -> None:
    asked = [client.call("POST", TALK, json={"a": 1}, headers=KEY) for _ in range(3)]
    waiting = asyncio.gather(*asked)
    work = await puppet.take()
    await puppet.answer(work, success=True, predictions=[1])
    assert [reply["predictions"] for _, reply in await waiting] == [[1]] * 3
    again = await client.call("POST", TALK, json={"a": 1}, headers=KEY)
    assert again[0] == 200 and again[1]["predictions"] == [1]
    command = await host.store.read(work["reqid"])
    assert command is not None and command.state is State.COMPLETED
