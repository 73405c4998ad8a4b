"""Server-sent events of a command: complete, resumable, for any number of readers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from puppet import Caller, Puppet

Event = tuple[int, str, dict[str, Any]]


async def read_events(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    """Parse the stream: id, event and data of each."""
    fields: dict[str, str] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if not line and fields:
            event_id = int(fields["id"].removesuffix("-done"))
            yield event_id, fields["event"], json.loads(fields["data"])
            fields = {}
        elif line and not line.startswith(":"):
            key, _, value = line.partition(": ")
            fields[key] = value


async def follow(client: Caller, command_id: str, **headers: str) -> list[Event]:
    url = f"{client.url}/v1/commands/{command_id}/events"
    async with client.session.get(url, headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        return [event async for event in read_events(response)]


def text_of(events: list[Event]) -> str:
    return "".join(data["delta"] for _, _, data in events)


async def test_readers_see_the_whole_reply_and_the_end(puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    readers = [asyncio.create_task(follow(client, command_id)) for _ in range(3)]
    work = await puppet.take()
    for offset, text in ((0, "Grüezi "), (7, "\U0001f1e8\U0001f1ed"), (9, " welt")):
        await puppet.progress(work, offset, text)
    await puppet.finish(work, 14, "!")
    for events in await asyncio.gather(*readers):
        assert text_of(events) == "Grüezi \U0001f1e8\U0001f1ed welt!"
        last_id, kind, status = events[-1]
        assert (last_id, kind, status["state"]) == (15, "done", "completed")
        assert status["reply"] == text_of(events)


async def test_a_dropped_stream_resumes_at_the_next_character(
    puppet: Puppet, client: Caller
) -> None:
    command_id = await client.tell()
    work = await puppet.take()
    await puppet.progress(work, 0, "first ")
    url = f"{client.url}/v1/commands/{command_id}/events"
    async with client.session.get(url) as response:
        seen, _, data = await anext(read_events(response))
    assert (seen, data["delta"]) == (6, "first ")
    await puppet.progress(work, 6, "second ")
    await puppet.finish(work, 13, "third")
    events = await follow(client, command_id, **{"Last-Event-ID": str(seen)})
    assert text_of(events) == "second third"


async def test_progress_of_the_prompt_is_an_event(puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    url = f"{client.url}/v1/commands/{command_id}/events"
    async with client.session.get(url) as response:
        events = read_events(response)
        assert (await anext(events))[2]["queuePosition"] == 1
        work = await puppet.take()
        assert (await anext(events))[2]["state"] == "running"
        await puppet.progress(work, 0, "", fields={"promptTokensProcessed": 7})
        assert (await anext(events))[2]["promptTokensProcessed"] == 7


async def test_a_bad_offset_is_refused(puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    path = f"/v1/commands/{command_id}/events"
    status, reply = await client.call("GET", path, headers={"Last-Event-ID": "x"})
    assert status == 400 and "Last-Event-ID" in reply["error"]


async def test_a_reader_that_has_the_end_is_told_to_come_back_no_more(
    puppet: Puppet, client: Caller
) -> None:
    command_id = await client.tell()
    work = await puppet.take()
    await puppet.progress(work, 0, "whole")
    url = f"{client.url}/v1/commands/{command_id}/events"
    async with client.session.get(url, headers={"Last-Event-ID": "5-done"}) as response:
        assert response.status == 200  # it has not ended: whoever says so is heard all the same
    await puppet.finish(work, 5, "")
    async with client.session.get(url, headers={"Last-Event-ID": "5"}) as response:
        last = (await response.text()).strip().split("\n\n")[-1].split("\n")
    assert last[:2] == ["id: 5-done", "event: done"]
    async with client.session.get(url, headers={"Last-Event-ID": "5-done"}) as response:
        assert response.status == 204
