"""Who may make itself known as an instance of which module, and how many may."""

from __future__ import annotations

import time

import aiohttp
import pytest
from puppet import Caller, Puppet

from host.app import Host
from host.instances import registry
from host.instances.instance import ALIVE_S, Instance
from host.instances.registry import ModuleRegistry, TooManyInstances


def query(instance_id: str) -> dict[str, str]:
    return {"moduleId": "Puppet", "instanceId": instance_id, "wait": "0"}


async def test_made_up_ids_end_somewhere(
    host: Host, client: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MAX_INSTANCES_OF_MODULE", 20)
    for number in range(20):
        status, _ = await client.call("GET", "/v1/queue/q", params=query(f"made-up-{number}"))
        assert status == 204
    async with client.session.get(client.url + "/v1/queue/q", params=query("one-more")) as reply:
        body = await reply.json()
        assert reply.status == 429 and "20 instances of Puppet" in body["error"]
        assert int(reply.headers["Retry-After"]) == ALIVE_S
    assert (await client.call("GET", "/v1/queue/q", params=query("made-up-3")))[0] == 204
    _, listed = await client.call("GET", "/v1/module/list/status")
    assert len(listed["statuses"][0]["instances"]) == 20


def test_the_one_that_is_silent_for_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MAX_INSTANCES", 3)
    known = ModuleRegistry()
    for number, name in enumerate(["a", "b", "c"]):
        known.seen("M", name, 2).last_seen = time.monotonic() - 2 * ALIVE_S - number
    known.seen("N", "d", 2)
    assert known.find("c") is None and known.find("a") and known.find("d")
    assert [one.instance_id for one in known.long_dead()] == ["c"], "so that its lease goes too"
    assert known.long_dead() == []


def test_what_this_host_launched_always_has_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MAX_INSTANCES", 2)
    known = ModuleRegistry()
    known.seen("M", "a", 2).last_seen = time.monotonic() - 2 * ALIVE_S
    known.seen("M", "b", 2)
    known.seen("M", "local-1", 2, lambda one: one in ("local-1", "a"))
    assert known.find("a"), "a launched one that is silent makes no room"
    with pytest.raises(TooManyInstances):
        known.seen("M", "c", 2, lambda one: one == "a")


def test_one_client_leaves_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up ids take the places of the same client's own, not those of others that are silent."""
    monkeypatch.setattr(registry, "FOR_ANYBODY", 2)
    monkeypatch.setattr(registry, "MAX_INSTANCES_OF_MODULE", 6)
    known = ModuleRegistry()

    def seen(name: str, client: str) -> Instance:
        return known.seen("M", name, 2, client=client)

    seen("theirs", "ip:b").last_seen = time.monotonic() - 2 * ALIVE_S
    for number in range(2):
        seen(f"made-up-{number}", "ip:a")
    with pytest.raises(TooManyInstances, match="of the 2 instances of M from your address"):
        seen("one-more", "ip:a")
    seen("made-up-1", "ip:a").last_seen = time.monotonic() - ALIVE_S
    assert seen("one-more", "ip:a") and known.find("made-up-1") is None
    assert known.find("theirs") and seen("another", "ip:b") and seen("a-third", "ip:c")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/queue/x?moduleId=Nobody&wait=0"),
        ("GET", "/v1/queue/x?wait=0"),
        ("POST", "/v1/queue/x?moduleId=Nobody"),
        ("POST", "/v1/queue/x"),
        ("POST", "/v1/queue/updatemodulestatus/Nobody"),
        ("POST", "/v1/modules/Nobody/progress?instanceId=a"),
        ("GET", "/v1/modules/Nobody/control?instanceId=a&wait=0"),
    ],
)
async def test_an_unknown_module_is_told_which_there_are(
    client: Caller, method: str, path: str
) -> None:
    status, body = await client.call(method, path)
    assert status == 404 and "Puppet" in body["error"]


async def test_its_letter_case_does_not_matter(client: Caller) -> None:
    for path in (
        "/v1/queue/puppet_queue?moduleId=pUPPET&wait=0",
        "/v1/queue/puppet_queue?wait=0",  # known by its queue
    ):
        assert (await client.call("GET", path))[0] == 204
    path = "/v1/queue/updatemodulestatus/PUPPET"
    assert (await client.call("POST", path, data={"statusData": "{}"}))[0] == 200
    _, listed = await client.call("GET", "/v1/module/list/status")
    (instance,) = listed["statuses"][0]["instances"]
    assert instance["instanceId"] == "puppet-1"


@pytest.mark.parametrize("bad", ["a" * 101, "a b", "a\n", "../x", "<b>", "ü", "%00"])
async def test_an_id_is_short_and_of_safe_characters(client: Caller, bad: str) -> None:
    status, body = await client.call("GET", "/v1/queue/q", params=query(bad))
    assert status == 400 and "instanceId" in body["error"]


@pytest.mark.parametrize("bad", ["[" * 100_000, "x", '{"a": "' + "x" * 300_000 + '"}'])
async def test_a_status_that_is_none_or_too_long_is_refused(
    host: Host, session: aiohttp.ClientSession, bad: str
) -> None:
    path = "/v1/queue/updatemodulestatus/Puppet"
    puppet = Puppet(session, host.url)
    status, body = await puppet.call("POST", path, params=puppet.query, data={"statusData": bad})
    assert status == 400 and "statusData" in body["error"]
