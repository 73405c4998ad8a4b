"""Channels over HTTP: a module that puts out more than a reply, and those who read it."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
from puppet import Caller, Puppet

THOUGHT = {"channel": "reasoning", "offset": 0, "text": "hm, "}
CALL = {"channel": "tool_calls", "index": 0, "name": "weather", "offset": 0, "text": '{"city":'}
ANSWER = {"channel": "reply", "offset": 0, "text": "It rains"}


async def test_pieces_reach_readers_in_their_order(puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    work = await puppet.take()
    sent = [THOUGHT, CALL, ANSWER, {**THOUGHT, "offset": 4, "text": "yes"}]
    for _ in range(2):  # a repeat changes nothing
        reply = await puppet.progress(work, 0, "", pieces=sent)
        assert (reply["accepted"], reply["offset"]) == (True, 8)
        assert reply["channels"] == [
            {"channel": "reasoning", "offset": 7},
            {"channel": "tool_calls", "index": 0, "name": "weather", "offset": 8},
            {"channel": "reply", "offset": 8},
        ]
    status = await client.status(command_id, sequence=2)
    assert [one["text"] for one in status["pieces"]] == [", ", '{"city":', "It rains", "yes"]
    assert status["nextSequence"] == 23 and not {"reply", "reasoning", "delta"} & set(status)
    whole = await client.status(command_id)
    assert (whole["reply"], whole["reasoning"]) == ("It rains", "hm, yes")
    assert whole["toolCalls"] == [{"index": 0, "name": "weather", "arguments": '{"city":'}]
    page = await client.status(command_id, offset=3)  # it knows of the reply alone
    assert (page["delta"], page["nextOffset"]) == ("rains", 8) and "pieces" not in page


async def test_a_gap_is_said_and_what_comes_after_it_waits(puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    work = await puppet.take()
    gap = {**THOUGHT, "offset": 3}
    reply = await puppet.progress(work, 0, "", pieces=[gap, ANSWER], result={"success": True})
    assert reply["accepted"] and reply["channels"] == [{"channel": "reasoning", "offset": 0}]
    status = await client.status(command_id)
    assert (status["state"], status["reply"]) == ("running", "")
    wrong = await puppet.progress(work, 0, "", pieces=[{**THOUGHT, "channel": "Not One"}])
    assert not wrong["accepted"] and "small letters" in wrong["error"]


async def test_events_carry_pieces_and_resume_at_any(
    puppet: Puppet, client: Caller, session: aiohttp.ClientSession
) -> None:
    command_id = await client.tell()
    work = await puppet.take()
    await puppet.progress(work, 0, "", pieces=[THOUGHT, ANSWER])
    await puppet.finish(work, 8, "")
    url = f"{client.url}/v1/commands/{command_id}/events"
    done = await events_of(session, url, {"Last-Event-ID": "3"})
    assert done[-1]["pieces"] == [
        {"channel": "reasoning", "text": " "},
        {"channel": "reply", "text": "It rains"},
    ]
    assert (done[-1]["delta"], done[-1]["reply"]) == ("It rains", "It rains")
    assert (done[-1]["reasoning"], done[-1]["nextSequence"]) == ("hm, ", 12)
    from_reply = await events_of(session, url + "?offset=3", {})
    assert from_reply[-1]["delta"] == "rains" and "pieces" not in from_reply[-1]


async def events_of(
    session: aiohttp.ClientSession, url: str, headers: dict[str, str]
) -> list[dict[str, Any]]:
    async with session.get(url, headers=headers) as response:
        lines = (await response.text()).splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


async def test_what_has_only_thought_ends_with_its_module(
    puppet: Puppet, client: Caller, session: aiohttp.ClientSession
) -> None:
    command_id = await client.tell()
    work = await puppet.take()
    await puppet.progress(work, 0, "", pieces=[THOUGHT])
    await puppet.tell_status(state="stopped", error="it crashed")
    status = await client.status(command_id)
    assert (status["state"], status["reasoning"]) == ("failed", "hm, ")


async def test_an_attempt_that_failed_is_shown(
    puppet: Puppet, client: Caller, session: aiohttp.ClientSession
) -> None:
    command_id = await client.tell()
    await puppet.take()
    await puppet.tell_status(state="stopped", error="it crashed")
    other = Puppet(session, client.url, "p2")
    work = await other.take()
    assert work["reqid"] == command_id
    (failed,) = (await client.status(command_id))["failedAttempts"]
    assert "it crashed" in failed["error"] and failed["startedAt"] <= failed["endedAt"]
