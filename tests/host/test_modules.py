"""What modules call: claims, fences, control, status, log; protocol 2."""

from __future__ import annotations

import asyncio
import json

from puppet import Caller, Puppet

from host.app import Host


async def test_ping_says_the_protocol(client: Caller) -> None:
    for path in ("/v1/status/ping", "/v1/server/status/ping"):
        _, reply = await client.call("GET", path)
        assert reply["success"] and reply["protocol"] == 2
        assert set(reply["version"]) == {"major", "minor", "patch"}


async def test_an_unknown_queue_is_an_empty_one(client: Caller) -> None:
    path = "/v1/queue/never_heard_of?moduleId=PUPPET&wait=0"
    assert (await client.call("GET", path))[0] == 204


async def test_progress_is_fenced_by_the_attempt(puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    work = await puppet.take()
    reply = await puppet.progress({**work, "attempt": "old"}, 0, "stolen")
    assert not reply["accepted"] and "claim" in reply["error"]
    reply = await puppet.progress({**work, "reqid": "unknown"}, 0, "lost")
    assert not reply["accepted"]
    status, _ = await puppet.answer({**work, "attempt": "old"}, success=True)
    assert status == 409
    assert (await client.status(command_id))["reply"] == ""


async def test_a_result_with_a_gap_before_it_is_not_taken(puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    work = await puppet.take()
    reply = await puppet.finish(work, 5, "world")
    assert reply["accepted"] and reply["offset"] == 0
    assert (await client.status(command_id))["state"] == "running"
    await puppet.finish(work, 0, "hello world")
    assert (await client.status(command_id))["reply"] == "hello world"


async def test_one_request_carries_many_commands(puppet: Puppet, client: Caller) -> None:
    ids = [await client.tell(str(n)) for n in range(3)]
    works = [await puppet.take() for _ in ids]
    commands = [
        {"commandId": w["reqid"], "attempt": w["attempt"], "offset": 0, "text": w["reqid"][:4]}
        for w in works
    ]
    path = "/v1/modules/Puppet/progress"
    reply = await puppet.post(path, {"commands": commands}, params=puppet.query)
    assert [one["offset"] for one in reply["commands"]] == [4, 4, 4]
    assert [(await client.status(one))["reply"] for one in ids] == [one[:4] for one in ids]


async def test_malformed_progress_names_the_field(puppet: Puppet, client: Caller) -> None:
    path = "/v1/modules/Puppet/progress"
    bad = {"commands": [{"commandId": "x", "attempt": "y", "offset": -1}]}
    status, reply = await client.call("POST", path, json=bad, params=puppet.query)
    assert status == 400 and "commands.0.offset" in reply["error"]


async def test_a_plain_answer_ends_a_long_command(puppet: Puppet, client: Caller) -> None:
    command_id = await client.tell()
    work = await puppet.take()
    assert work["longProcess"]
    await puppet.answer(work, success=True, reply="short and done")
    status = await client.status(command_id)
    assert (status["state"], status["reply"]) == ("completed", "short and done")


async def test_an_unmarked_route_may_turn_out_to_be_long(puppet: Puppet, client: Caller) -> None:
    starts = [asyncio.create_task(client.post("/v1/text/talk")) for _ in range(2)]
    work = await puppet.take()
    await puppet.answer(work, success=True, commandId=work["reqid"], commandStatus="running")
    replies = await asyncio.gather(*starts)  # the second is answered too: the route is known now
    assert {one["state"] for one in replies} == {"running", "queued"}
    await puppet.finish(work, 0, "long after all")
    status = await client.status(work["reqid"])
    assert status["reply"] == "long after all"
    assert (await client.post("/v1/text/talk"))["state"] == "queued"


async def test_an_answer_to_nothing_is_refused(puppet: Puppet) -> None:
    status, reply = await puppet.answer({"reqid": "nothing", "attempt": "x"}, success=True)
    assert status == 400 and "no command" in reply["error"]


async def test_a_dead_instance_fails_what_showed_text_and_requeues_the_rest(
    host: Host, puppet: Puppet, client: Caller
) -> None:
    shown, fresh = await client.tell("shown"), await client.tell("fresh")
    work = await puppet.take()
    await puppet.take()
    await puppet.progress(work, 0, "partial")
    await host.dispatcher.instance_gone("Puppet", "p1", "killed by signal 9")
    status = await client.status(shown)
    assert (status["state"], status["reply"]) == ("failed", "partial")
    assert "killed by signal 9" in status["error"]
    assert (await client.status(fresh))["state"] == "queued"
    assert (await puppet.take())["reqid"] == fresh
    await host.dispatcher.instance_gone("Puppet", "p1", "killed by signal 9")
    assert (await client.status(fresh))["state"] == "failed"  # it took its module down twice


async def test_status_data_shows_in_the_list(puppet: Puppet, client: Caller) -> None:
    status = {"state": "ready", "slots": 2, "inferenceDevice": "CPU"}
    path = "/v1/queue/updatemodulestatus/Puppet"
    await client.call("POST", path, params=puppet.query, data={"statusData": json.dumps(status)})
    _, reply = await client.call("GET", "/v1/module/list/status")
    (module,) = reply["statuses"]
    assert (module["moduleId"], module["queue"]) == ("Puppet", "puppet_queue")
    assert module["statusData"] == status and module["instances"][0]["slots"] == 2
    code, _ = await client.call("POST", path, params=puppet.query, data={"statusData": "{"})
    assert code == 400


async def test_log_lines_can_be_read_from_any_point(client: Caller) -> None:
    for n, path in enumerate(("/v1/log", "/v1/log/")):
        form = {"entry": f"line {n}", "category": "Puppet", "label": "x", "log_level": "odd"}
        assert (await client.call("POST", path, data=form))[0] == 200
    _, reply = await client.call("GET", "/v1/log/list?count=2")
    assert [(e["entry"], e["level"]) for e in reply["entries"]] == [
        ("line 0", "information"),
        ("line 1", "information"),
    ]
    last_id = reply["entries"][0]["id"]
    _, reply = await client.call("GET", f"/v1/log/list?last_id={last_id}&count=10")
    assert [e["entry"] for e in reply["entries"]] == ["line 1"]
    assert (await client.call("GET", "/v1/log/list?count=x"))[0] == 400
