"""Modules that keep their own state (protocol 1): one long command at a time, mirrored."""

from __future__ import annotations

import asyncio
from typing import Any

from puppet import Caller, Puppet


def value_of(work: dict[str, Any], key: str) -> str:
    return next(v["value"][0] for v in work["payload"]["values"] if v["key"] == key)


async def begin(puppet: Puppet) -> dict[str, Any]:
    """Take a long command and say that it goes on in the background."""
    work = await puppet.take()
    assert "attempt" not in work
    await puppet.answer(work, success=True, commandId=work["reqid"], commandStatus="running")
    return work


async def look(puppet: Puppet, work: dict[str, Any], **answer: Any) -> None:
    """Wait for the host's question about the command, and answer it."""
    question = await puppet.take()
    assert question["payload"]["command"] == "get_command_status"
    assert value_of(question, "commandId") == work["reqid"]
    status = {"success": True, "commandId": work["reqid"], "commandStatus": "running", **answer}
    await puppet.answer(question, **status)


async def test_a_reply_is_mirrored_to_its_end(old_puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    work = await begin(old_puppet)
    await look(old_puppet, work, reply="one ", step=1)
    await look(old_puppet, work, reply="one two ", step=2)
    status = await client.status(command_id, offset=4, wait=5)
    assert (status["delta"], status["state"], status["step"]) == ("two ", "running", 2)
    await look(old_puppet, work, reply="one two three", commandStatus="completed", processMs=7)
    await client.status(command_id, offset=8, wait=5)
    status = await client.status(command_id)
    assert (status["state"], status["reply"]) == ("completed", "one two three")
    assert (status["stop_reason"], status["processMs"]) == ("completed", 7)


async def test_the_second_waits_for_its_turn(old_puppet: Puppet, client: Caller) -> None:
    first, second = await client.tell("1"), await client.tell("2")
    work = await begin(old_puppet)
    assert (await client.status(second))["queuePosition"] == 1
    await look(old_puppet, work, commandStatus="completed", reply="done")
    assert (await begin(old_puppet))["reqid"] == second
    assert (await client.status(first))["state"] == "completed"


async def test_a_cancel_is_passed_on(old_puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    work = await begin(old_puppet)
    await look(old_puppet, work, reply="part")
    await client.status(command_id, offset=0, wait=5)
    assert (await client.cancel(command_id))["cancel"] == "requested"
    question = await old_puppet.take()
    if question["payload"]["command"] == "get_command_status":  # it was on its way already
        await old_puppet.answer(question, success=True, commandStatus="running", reply="part")
        question = await old_puppet.take()
    assert question["payload"]["command"] == "cancel_command"
    await old_puppet.answer(question, success=True, commandStatus="cancelled")
    await look(old_puppet, work, success=False, error="No long running command", reply=None)
    await client.status(command_id, offset=4, wait=5)
    status = await client.status(command_id)
    assert (status["state"], status["reply"]) == ("cancelled", "part")
    assert status["commandStatus"] == "completed" and status["success"]


async def test_a_failure_is_mirrored(old_puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    work = await begin(old_puppet)
    await look(old_puppet, work, success=False, commandStatus="completed", error="it broke")
    status = await client.status(command_id, wait=5)
    assert (status["state"], status["error"]) == ("failed", "it broke")


async def test_a_refused_start_waits_and_is_tried_again(old_puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    work = await old_puppet.take()
    error = "A long running command is already in progress"
    await old_puppet.answer(work, success=False, commandId="another", error=error)
    assert (await client.status(command_id))["state"] == "queued"
    assert (await begin(old_puppet))["reqid"] == command_id


async def test_ordinary_commands_go_on_beside_a_long_one(
    old_puppet: Puppet, client: Caller
) -> None:
    talk = asyncio.create_task(client.post("/v1/text/talk"))
    work = await old_puppet.take()
    await old_puppet.answer(work, success=True, said="first")  # now the host knows: it is short
    assert (await talk)["said"] == "first"
    await client.tell()
    long_work = await begin(old_puppet)
    talk = asyncio.create_task(client.post("/v1/text/talk"))
    while (work := await old_puppet.take())["payload"]["command"] != "talk":
        await old_puppet.answer(work, success=True, commandStatus="running", reply="")
    await old_puppet.answer(work, success=True, said="second")
    assert (await talk)["said"] == "second"
    await look(old_puppet, long_work, commandStatus="completed", reply="done")
