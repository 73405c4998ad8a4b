"""Modules on a host that speaks part 1 only: everything goes through one queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from conftest import Serve
from part1_host import Part1Host
from published_adapter import PublishedAdapter
from test_protocol_2 import Steps

from sdk import LongProcess, ModuleRunner, RequestData


def replies(text: str) -> Callable[[dict[str, Any]], bool]:
    return lambda status: bool(status["reply"] == text)


async def test_start_status_end(part1: Part1Host, serve_part1: Serve) -> None:
    module = Steps()
    await serve_part1(module)
    started = await part1.post("go", name="a", steps=2)
    command_id = started["commandId"]
    assert started["success"] is True and started["commandStatus"] == "running"
    assert command_id == started["requestId"] and started["moduleId"] == "TestModule"
    status = await part1.status(command_id)
    assert status["reply"] == "" and status["commandStatus"] in ("queued", "running")
    module.permit("a")
    status = await part1.status_when(command_id, replies("a0 "))
    assert status["commandStatus"] == "running" and status["success"] is True
    module.permit("a")
    status = await part1.end_of(command_id)
    assert status["reply"] == "a0 a1 " and status["stop_reason"] == "completed"
    assert status["step"] == 1 and status["inferenceMs"] == 5 and "processMs" in status
    again = await part1.end_of(command_id)
    assert again == status | {"requestId": again["requestId"]}, "a finished reply stays readable"


async def test_several_at_once_and_the_rest_in_order(part1: Part1Host, serve_part1: Serve) -> None:
    module = Steps(parallelism=2)
    await serve_part1(module)
    ids = [(await part1.post("go", name=name))["commandId"] for name in "abcd"]
    for command_id in ids[:2]:
        await part1.status_when(command_id, lambda status: status["commandStatus"] == "running")
    for command_id in ids[2:]:
        status = await part1.status(command_id)
        assert status["commandStatus"] == "queued" and status["reply"] == ""
        assert status["success"] is True
    module.permit("d")  # it would write at once, were it its turn
    module.permit("b")
    assert (await part1.end_of(ids[1]))["reply"] == "b0 "
    await part1.status_when(ids[2], lambda status: status["commandStatus"] == "running")
    assert (await part1.status(ids[3]))["commandStatus"] == "queued"
    module.permit("a")
    assert (await part1.end_of(ids[3]))["reply"] == "d0 "
    module.permit("c")
    assert (await part1.end_of(ids[2]))["reply"] == "c0 "


async def test_cancel_while_it_waits_runs_and_after(part1: Part1Host, serve_part1: Serve) -> None:
    module = Steps(parallelism=1)
    await serve_part1(module)
    ids = [(await part1.post("go", name=name, steps=2))["commandId"] for name in "abc"]
    module.permit("a")
    await part1.status_when(ids[0], replies("a0 "))
    waiting = await part1.cancel(ids[1])
    assert waiting["success"] is True and waiting["commandStatus"] == "cancelled"
    status = await part1.status(ids[1])
    assert status["commandStatus"] == "completed" and status["stop_reason"] == "cancelled"
    assert status["reply"] == ""
    running = await part1.cancel(ids[0])
    assert running["success"] is True and "asked to stop" in running["message"]
    status = await part1.end_of(ids[0])
    assert status["stop_reason"] == "cancelled" and status["reply"] == "a0 "
    again = await part1.cancel(ids[0])
    assert again["success"] is True and "already finished" in again["message"]
    module.permit("c", 2)
    status = await part1.end_of(ids[2])
    assert status["stop_reason"] == "completed" and status["reply"] == "c0 c1 "
    assert (await part1.status(ids[0]))["reply"] == "a0 ", "a finished reply stays readable"


async def test_failed_and_unknown(part1: Part1Host, serve_part1: Serve) -> None:
    module = Steps()
    await serve_part1(module)
    started = await part1.post("go", name="fail")
    module.permit("fail")
    status = await part1.end_of(started["commandId"])
    assert status["success"] is False and status["commandStatus"] == "failed"
    assert status["error"] == "disk full" and status["reply"] == "" and status["code"] == 500
    assert "No command nobody" in (await part1.status("nobody"))["error"]
    assert "No command nobody" in (await part1.cancel("nobody"))["error"]
    assert (await part1.post("get_command_status"))["error"] == "No command ID provided"
    wrong = await part1.post("go", steps="x")
    assert wrong["success"] is False and wrong["code"] == 400 and "commandId" not in wrong


async def test_ordinary_commands_and_system_commands_while_all_slots_are_busy(
    part1: Part1Host, serve_part1: Serve
) -> None:
    module = Steps(parallelism=1)
    await serve_part1(module)
    started = await part1.post("go", name="a")
    assert (await part1.post("plain", name="x"))["answer"] == "x"
    assert (await part1.post("get_module_status"))["own"] == "words"
    assert (await part1.post("selftest"))["success"] is True
    await part1.until(lambda: part1.statuses and part1.statuses[-1]["busy"] == 1)
    module.permit("a")
    await part1.end_of(started["commandId"])


async def test_published_style(part1: Part1Host, serve_part1: Serve) -> None:
    module = PublishedAdapter()
    module.parallelism = 2
    await serve_part1(module)
    first = (await part1.post("go", word="a", words=2))["commandId"]
    second = (await part1.post("go", word="b", words=2))["commandId"]
    third = (await part1.post("go", word="c", words=1))["commandId"]
    module.permit()
    await part1.status_when(first, replies("a "))
    assert (await part1.status(second))["commandStatus"] == "queued"
    assert (await part1.cancel(second))["commandStatus"] == "cancelled"
    assert module.cancel_calls == 0
    await part1.cancel(first)
    status = await part1.end_of(first)
    assert status["stop_reason"] == "cancelled" and status["reply"] == "a "
    module.permit()
    status = await part1.end_of(third)
    assert status["reply"] == "c " and module.started == ["a", "c"]


async def test_work_waits_for_initialise_and_status_does_not(
    part1: Part1Host, serve_part1: Serve
) -> None:
    go = asyncio.Event()

    class Slow(Steps):
        async def initialise(self) -> None:
            await go.wait()

    module = Slow()
    await serve_part1(module)
    starting = asyncio.ensure_future(part1.post("go", name="a"))
    assert (await part1.post("get_module_status"))["state"] == "loading"
    assert not starting.done()
    go.set()
    module.permit("a")
    assert (await part1.end_of((await starting)["commandId"]))["reply"] == "a0 "


async def test_a_broken_module_answers_with_the_reason(
    part1: Part1Host, serve_part1: Serve
) -> None:
    class Broken(Steps):
        def initialise(self) -> None:
            raise FileNotFoundError("no model")

    await serve_part1(Broken())
    answer = await part1.post("go", name="a")
    assert answer["success"] is False and "no model" in answer["error"]


async def test_quit_is_answered(
    part1: Part1Host, serve_part1: Serve, finish: Callable[[], Awaitable[int]]
) -> None:
    module = Steps()
    await serve_part1(module)
    await part1.post("go", name="a")
    assert (await part1.quit())["success"] is True
    assert await finish() == 0


async def test_many_commands_are_all_answered(part1: Part1Host, serve_part1: Serve) -> None:
    class Echo(ModuleRunner):
        def process(self, data: RequestData) -> LongProcess:
            return LongProcess(lambda data, command: command.append(data.get_value("word", "")))

    await serve_part1(Echo())
    started = await asyncio.gather(*(part1.post("go", word=f"w{i}") for i in range(30)))
    ends = await asyncio.gather(*(part1.end_of(start["commandId"]) for start in started))
    assert sorted(end["reply"] for end in ends) == sorted(f"w{i}" for i in range(30))
