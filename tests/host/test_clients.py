"""What clients call, against a real host; the module is a puppet over HTTP."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import aiohttp
import pytest
from puppet import Caller, Puppet

TELL = "/v1/text/tell"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_every_kind_of_body_starts_a_command(puppet: Puppet, client: Caller) -> None:
    form = aiohttp.FormData({"prompt": "multi"}, default_to_multipart=True)
    payload = {"values": [{"key": "prompt", "value": ["shape"]}]}
    bodies: list[dict[str, Any]] = [
        {"data": form},
        {"data": {"prompt": "urlencoded"}},
        {"json": {"prompt": "flat", "max_tokens": 3, "tags": ["a", "b"]}},
        {"json": payload},
        {"params": {"prompt": "query"}},
    ]
    for body in bodies:
        status, reply = await client.call("POST", TELL, **body)
        assert status == 200 and reply["success"] and reply["commandId"]
    seen = []
    for _ in bodies:
        work = await puppet.take()
        seen.append({v["key"]: v["value"] for v in work["payload"]["values"]})
        await puppet.finish(work, 0, "done")
    assert [one["prompt"] for one in seen] == [
        ["multi"],
        ["urlencoded"],
        ["flat"],
        ["shape"],
        ["query"],
    ]
    assert seen[2]["max_tokens"] == ["3"] and seen[2]["tags"] == ["a", "b"]


async def test_files_reach_the_module_as_base64(puppet: Puppet, client: Caller) -> None:
    form = aiohttp.FormData({"prompt": "look"})
    form.add_field("image", b"\x00\xff", filename="x.png", content_type="image/png")
    await client.call("POST", TELL, data=form)
    assert (await puppet.take())["payload"]["files"] == [
        {"name": "image", "filename": "x.png", "contentType": "image/png", "data": "AP8="}
    ]


async def test_the_way_of_a_reply(puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    status = await client.status(command_id)
    assert (status["state"], status["reply"], status["queuePosition"]) == ("queued", "", 1)
    work = await puppet.take()
    await puppet.progress(work, 0, "Hel", fields={"promptTokens": 4})
    status = await client.status(command_id, offset=1)
    assert (status["state"], status["commandStatus"]) == ("running", "running")
    assert (status["delta"], status["nextOffset"]) == ("el", 3)
    assert "reply" not in status and (await client.status(command_id))["reply"] == "Hel"
    assert status["promptTokens"] == 4 and status["queuePosition"] == 0
    await puppet.finish(work, 3, "lo", processMs=5, inferenceMs=4)
    status = await client.status(command_id)
    assert (status["state"], status["commandStatus"]) == ("completed", "completed")
    assert (status["reply"], status["stop_reason"]) == ("Hello", "completed")
    assert status["processMs"] == 5 and status["finishedAt"] > status["createdAt"]
    assert status["timestampUTC"].endswith("GMT") and status["processedBy"] == "localhost"


async def test_a_reader_that_knows_more_goes_on_from_there(puppet: Puppet, client: Caller) -> None:
    """It has seen text that its host, which was killed, had not kept."""
    command_id = await client.tell()
    work = await puppet.take()
    await puppet.progress(work, 0, "Hel")
    status = await client.status(command_id, offset=4)
    assert (status["delta"], status["nextOffset"]) == ("", 4)
    await puppet.progress(work, 3, "lo")
    assert (await client.status(command_id, offset=4))["delta"] == "o"


async def test_a_poll_can_wait_for_what_comes(puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    work = await puppet.take()
    waiting = asyncio.create_task(client.status(command_id, offset=0, wait=30))
    await client.status(command_id)
    await puppet.progress(work, 0, "now")
    assert (await waiting)["delta"] == "now"
    assert (await client.status(command_id, offset=0, wait=30))["delta"] == "now"
    waiting = asyncio.create_task(client.status(command_id, offset=3, wait=30))
    await client.status(command_id)
    await puppet.finish(work, 3, "")
    assert (await waiting)["state"] == "completed"


async def test_positions_and_the_four_answers_of_cancel(puppet: Puppet, client: Caller) -> None:
    first, second, third = [await client.tell(str(n)) for n in range(3)]
    work = await puppet.take()
    assert [(await client.status(one))["queuePosition"] for one in (first, second, third)] == [
        0,
        1,
        2,
    ]
    answer = await client.cancel(second)
    assert (answer["cancel"], answer["state"]) == ("cancelled", "cancelled")
    assert (await client.status(second))["commandStatus"] == "completed"
    assert (await client.status(second))["stop_reason"] == "cancelled"
    assert (await client.cancel(second))["cancel"] == "cancelled"
    assert (await client.cancel(first))["cancel"] == "requested"
    assert (await puppet.control())[0] == {"type": "cancel", "commandId": first}
    assert (await puppet.progress(work, 0, "part"))["cancel"] == [first]
    await puppet.finish(work, 4, "", stop_reason="cancelled")
    assert (await client.status(first))["reply"] == "part"
    work = await puppet.take()
    await puppet.finish(work, 0, "third")
    assert (await client.cancel(third))["cancel"] == "already finished"
    assert (await client.status(third))["reply"] == "third"
    status, reply = await client.call(
        "POST", "/v1/Puppet/cancel_command", json={"commandId": "unknown"}
    )
    assert status == 404 and not reply["success"]


async def test_a_failure_keeps_the_partial_reply(puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    work = await puppet.take()
    await puppet.progress(work, 0, "so far")
    await puppet.progress(work, 6, "", result={"success": False, "error": "the model broke"})
    status = await client.status(command_id)
    assert not status["success"] and status["commandStatus"] == "failed"
    assert (status["error"], status["reply"]) == ("the model broke", "so far")


async def test_ordinary_commands_wait_for_their_answer(puppet: Puppet, client: Caller) -> None:
    waiting = asyncio.create_task(client.call("POST", "/v1/text/talk/loudly/x", json={"a": 1}))
    work = await puppet.take()
    assert work["payload"]["urlSegments"] == ["loudly", "x"] and not work["longProcess"]
    await puppet.answer(work, success=True, moduleId="Puppet", predictions=[1])
    status, reply = await waiting
    assert status == 200 and reply["predictions"] == [1] and "analysisRoundTripMs" in reply


async def test_a_failed_answer_has_a_true_status(puppet: Puppet, client: Caller) -> None:
    for code, expected in ((400, 400), (500, 500), (None, 500), (200, 500)):
        waiting = asyncio.create_task(client.call("POST", "/v1/text/talk"))
        await puppet.answer(await puppet.take(), success=False, error="no", code=code)
        status, reply = await waiting
        assert status == expected and reply["error"] == "no"


async def test_a_client_that_leaves_takes_its_ordinary_command_along(
    puppet: Puppet, client: Caller
) -> None:
    waiting = asyncio.create_task(client.call("POST", "/v1/text/talk"))
    work = await puppet.take()
    waiting.cancel()
    assert (await puppet.control()) == [{"type": "cancel", "commandId": work["reqid"]}]


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({}, "prompt: expected a text, got nothing"),
        ({"prompt": "  "}, "prompt: expected a text, got an empty one"),
        ({"prompt": "x", "max_tokens": "abc"}, "max_tokens: expected an integer of at least 0"),
        ({"prompt": "x", "max_tokens": -1}, "max_tokens: expected an integer of at least 0"),
        ({"prompt": "x", "temperature": -1}, "temperature: expected a number from 0 to 2, got -1"),
        ({"prompt": "x", "seed": -1}, "seed: expected an integer from 0 to 4294967294, got -1"),
        ({"prompt": "x", "temperature": "nan"}, "temperature: expected a number from 0 to 2"),
    ],
)
async def test_bad_input_names_the_field(
    puppet: Puppet, client: Caller, values: dict[str, Any], error: str
) -> None:
    status, reply = await client.call("POST", TELL, json=values)
    assert (status, reply["success"], reply["code"]) == (400, False, 400)
    assert error in reply["error"]
    assert await puppet.poll(wait=0) is None


@pytest.mark.parametrize(
    ("kwargs", "code", "error"),
    [
        ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, "malformed JSON"),
        ({"data": b"[1]", "headers": {"Content-Type": "application/json"}}, 400, "JSON list"),
        (
            {"data": b'{"prompt":"\xff"}', "headers": {"Content-Type": "application/json"}},
            400,
            "0xff",
        ),
        (
            {
                "data": b"prompt=%ff",
                "headers": {"Content-Type": "application/x-www-form-urlencoded"},
            },
            400,
            "UTF-8",
        ),
        ({"data": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "boundary"),
        (
            {"data": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
            400,
            "multipart",
        ),
        ({"data": b"<a/>", "headers": {"Content-Type": "text/xml"}}, 400, "text/xml"),
        ({"data": io.BytesIO(b"x" * 20_000_000), "headers": FORM}, 413, "16 MB"),
    ],
)
async def test_broken_bodies_are_refused(
    puppet: Puppet, client: Caller, kwargs: dict[str, Any], code: int, error: str
) -> None:
    status, reply = await client.call("POST", TELL, **kwargs)
    assert (status, reply["success"], reply["code"]) == (code, False, code)
    assert error in reply["error"]
    assert await client.tell("still works")


async def test_a_large_upload_is_refused_in_multipart_too(puppet: Puppet, client: Caller) -> None:
    form = aiohttp.FormData()
    form.add_field("image", io.BytesIO(b"x" * 20_000_000), filename="x.png")
    status, reply = await client.call("POST", TELL, data=form)
    assert status == 413 and "16 MB" in reply["error"] and "MaxBodyMB" in reply["error"]


@pytest.mark.parametrize(
    ("method", "path", "code", "error"),
    [
        ("POST", "/v1/no/such/route", 404, "text/tell"),
        ("GET", "/v1/text/tell", 405, "expected POST, got GET"),
        ("GET", "/nowhere", 404, "Not Found"),
        ("POST", "/v1/Nobody/get_command_status", 404, "no module 'Nobody'"),
        ("POST", "/v1/puppet/get_command_status", 400, "commandId"),
        ("POST", "/v1/puppet/get_command_status?commandId=x", 404, "no command 'x'"),
        ("GET", "/v1/commands/x/events", 404, "no command 'x'"),
        ("DELETE", "/v1/commands/x", 404, "no command 'x'"),
    ],
)
async def test_what_is_not_there_is_said(
    client: Caller, method: str, path: str, code: int, error: str
) -> None:
    status, reply = await client.call(method, path)
    assert (status, reply["success"], reply["code"]) == (code, False, code)
    assert error in reply["error"]


@pytest.mark.parametrize("values", [{"offset": "x"}, {"offset": -1}, {"wait": "x"}, {"wait": 31}])
async def test_bad_offsets_and_waits_are_named(
    puppet: Puppet, client: Caller, values: dict[str, Any]
) -> None:
    values["commandId"] = await client.tell()
    status, reply = await client.call("POST", "/v1/puppet/get_command_status", json=values)
    assert status == 400 and next(iter(values)) in reply["error"]


async def test_a_module_that_does_not_run_is_503_with_the_reason(client: Caller) -> None:
    status, reply = await client.call("POST", TELL, json={"prompt": "x"})
    assert status == 503 and "AutoStart is off" in reply["error"]


async def test_an_idempotency_key_starts_once(puppet: Puppet, client: Caller) -> None:
    headers = {"Idempotency-Key": "abc"}
    replies = [
        await client.post(TELL, {"prompt": "x"}, headers=headers),
        await client.post(TELL, {"prompt": "x"}, headers=headers),
    ]
    assert replies[0]["commandId"] == replies[1]["commandId"]


async def test_a_deleted_command_is_gone(puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    path = f"/v1/commands/{command_id}"
    assert (await client.call("DELETE", path))[0] == 409
    await puppet.finish(await puppet.take(), 0, "secret")
    assert (await client.call("GET", path))[1]["reply"] == "secret"
    assert (await client.call("DELETE", path))[0] == 200
    assert (await client.call("GET", path))[0] == 404
