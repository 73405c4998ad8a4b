"""Modules on a protocol-2 host: work, progress, cancel, and the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Serve
from fake_host import FakeHost, HostCommand

from sdk import LongProcess, ModuleRunner, RequestData, RunningCommand
from sdk.author.module_runner import ProcessResult


class Steps(ModuleRunner):
    """A long process that a test leads step by step: one text for every permit."""

    def __init__(self, parallelism: int = 2) -> None:
        super().__init__()
        self.parallelism = parallelism
        self.permits: dict[str, threading.Semaphore] = {}
        self.cleanups = 0

    def permit(self, name: str, count: int = 1) -> None:
        for _ in range(count):
            self.of(name).release()

    def of(self, name: str) -> threading.Semaphore:
        return self.permits.setdefault(name, threading.Semaphore(0))

    def process(self, data: RequestData) -> ProcessResult:
        if data.command == "plain":
            return {"answer": data.get_value("name")}
        if data.command == "wait":
            self.of(data.get_value("name", "?")).acquire()
            return {"success": True}
        data.get_int("steps", 1, minimum=1)
        return LongProcess(self.go)

    def go(self, data: RequestData, command: RunningCommand) -> dict[str, Any] | None:
        name = data.get_value("name", "?")
        for step in range(data.get_int("steps", 1)):
            while not self.of(name).acquire(timeout=0.01):
                if command.is_cancelled:
                    return None
            if name == "fail":
                raise OSError("disk full")
            command.append(f"{name}{step} ")
            command.set(step=step)
        return {"inferenceMs": 5, "note": "done"}

    def module_status(self) -> dict[str, Any]:
        return {"own": "words"}

    def cleanup(self) -> None:
        self.cleanups += 1


def grows_to(host: FakeHost, command: HostCommand, text: str) -> Any:
    return host.until(lambda: command.text == text, f"text {text!r}")


async def test_a_long_command_grows_and_ends(host: FakeHost, serve: Serve) -> None:
    module = Steps()
    await serve(module)
    command = host.post(name="a", steps=3)
    for text in ("a0 ", "a0 a1 ", "a0 a1 a2 "):
        module.permit("a")
        await grows_to(host, command, text)
    result = await host.finished(command)
    assert command.lengths == [3, 6, 9] and command.fields == {"step": 2}
    assert result["success"] is True and result["stop_reason"] == "completed"
    assert result["inferenceMs"] == 5 and result["note"] == "done" and result["processMs"] >= 0
    assert command.answers == [], "a marked route needs no start answer"
    assert host.most_progress_at_once == 1
    query = host.queries[0]
    assert query["moduleId"] == "TestModule" and query["instanceId"] == "instance1"
    assert query["protocol"] == "2" and 1 <= int(query["wait"]) <= 14
    assert host.headers[0]["Authorization"] == "Bearer secret"


async def test_an_unmarked_route_gets_a_start_answer(host: FakeHost, serve: Serve) -> None:
    module = Steps()
    await serve(module)
    command = host.post(name="a", is_long=False)
    answer = await host.answered(command)
    assert answer["success"] is True and answer["commandStatus"] == "running"
    assert answer["commandId"] == command.command_id == answer["requestId"]
    module.permit("a")
    assert (await host.finished(command))["success"] is True and command.text == "a0 "


async def test_several_run_at_once_up_to_the_slots(
    talkative: None, host: FakeHost, serve: Serve
) -> None:
    module = Steps(parallelism=2)
    await serve(module)
    first, second, third = (host.post(name=name, steps=2) for name in "abc")
    for name in "cab":
        module.permit(name)
    await grows_to(host, first, "a0 ")
    await grows_to(host, second, "b0 ")
    assert not third.was_claimed, "no slot is free for it"
    module.permit("b")
    await host.finished(second)
    await grows_to(host, third, "c0 ")
    assert first.result is None
    await host.until(lambda: host.statuses[-1]["busy"] == 2)
    assert host.statuses[-1]["slots"] == 2
    module.permit("a")
    module.permit("c")
    await host.finished(first)
    await host.finished(third)
    assert (first.text, second.text, third.text) == ("a0 a1 ", "b0 b1 ", "c0 c1 ")


async def test_each_has_its_own_cancel(host: FakeHost, serve: Serve) -> None:
    module = Steps()
    await serve(module)
    first, second = host.post(name="a", steps=2), host.post(name="b", steps=2)
    module.permit("a")
    module.permit("b")
    await grows_to(host, first, "a0 ")
    await grows_to(host, second, "b0 ")
    host.cancel(first)
    result = await host.finished(first)
    assert result["stop_reason"] == "cancelled" and first.text == "a0 "
    module.permit("b")
    assert (await host.finished(second))["stop_reason"] == "completed"
    host.cancel(second)
    third = host.post(name="a")
    module.permit("a")
    assert (await host.finished(third))["stop_reason"] == "completed"


async def test_a_cancel_while_process_is_still_thinking(host: FakeHost, serve: Serve) -> None:
    class Thoughtful(Steps):
        def process(self, data: RequestData) -> ProcessResult:
            self.of("thought").acquire()
            return super().process(data)

    module = Thoughtful()
    await serve(module)
    command = host.post(name="a")
    await host.until(lambda: command.was_claimed)
    host.cancel(command)
    cancel = await host.answered(host.ask("cancel_command", commandId=command.command_id))
    assert cancel["success"] is True
    module.permit("thought")
    assert (await host.finished(command))["stop_reason"] == "cancelled" and command.text == ""


async def test_a_cancel_in_the_answer_to_progress(host: FakeHost, serve: Serve) -> None:
    module = Steps()
    await serve(module)
    command = host.post(name="a", steps=2)
    host.cancel_in_reply = [command.command_id]
    module.permit("a")
    assert (await host.finished(command))["stop_reason"] == "cancelled"


async def test_a_failure_keeps_the_text_so_far(host: FakeHost, serve: Serve) -> None:
    class Half(ModuleRunner):
        def process(self, data: RequestData) -> LongProcess:
            def half(_: RequestData, command: RunningCommand) -> None:
                command.append("half ")
                raise OSError("disk full")

            return LongProcess(half)

    await serve(Half())
    command = host.post()
    result = await host.finished(command)
    assert result["success"] is False and result["error"] == "disk full"
    assert command.text == "half "


async def test_wrong_input_fails_a_marked_command(host: FakeHost, serve: Serve) -> None:
    await serve(Steps())
    command = host.post(steps="many")
    result = await host.finished(command)
    assert result["error"] == "steps: expected a whole number, got 'many'"
    assert result["code"] == 400


@pytest.mark.parametrize(
    ("returned", "words"),
    [(None, "returned None"), (object(), "returned object"), ({"x": {1}}, "JSON cannot hold")],
)
async def test_odd_answers_are_answered(
    host: FakeHost, serve: Serve, returned: Any, words: str
) -> None:
    class Odd(ModuleRunner):
        def process(self, data: RequestData) -> Any:
            return returned

    await serve(Odd())
    answer = await host.answered(host.post(is_long=False))
    assert answer["success"] is False and words in answer["error"] and answer["code"] == 500


async def test_a_result_that_is_not_json_fails_the_command(host: FakeHost, serve: Serve) -> None:
    class Odd(ModuleRunner):
        def process(self, data: RequestData) -> LongProcess:
            return LongProcess(lambda _data, _command: {"x": object()})

    await serve(Odd())
    result = await host.finished(host.post())
    assert result["success"] is False and "JSON cannot hold" in result["error"]


async def test_async_adapters(host: FakeHost, serve: Serve) -> None:
    class Async(ModuleRunner):
        async def initialise(self) -> None:
            await asyncio.sleep(0)
            self.word = "ready"

        async def process(self, data: RequestData) -> LongProcess:
            return LongProcess(self.go)

        async def go(self, data: RequestData, command: RunningCommand) -> None:
            command.append(self.word)
            while not command.is_cancelled:  # noqa: ASYNC110 - what an author would write
                await asyncio.sleep(0.01)

    await serve(Async())
    command = host.post()
    await grows_to(host, command, "ready")
    host.cancel(command)
    assert (await host.finished(command))["stop_reason"] == "cancelled"


async def test_lone_surrogates_do_not_stop_the_reports(host: FakeHost, serve: Serve) -> None:
    class Odd(ModuleRunner):
        def process(self, data: RequestData) -> LongProcess:
            return LongProcess(self.go)

        def go(self, data: RequestData, command: RunningCommand) -> dict[str, Any]:
            command.append("a\ud800b😀")
            command.set(token="\udfff")
            return {"last": "\ud83d"}

    await serve(Odd())
    command = host.post()
    result = await host.finished(command)
    assert command.text == "a\ufffdb😀" and command.fields == {"token": "\ufffd"}
    assert result["last"] == "\ufffd"


async def test_the_initialising_module_is_seen_loading(host: FakeHost, serve: Serve) -> None:
    go = threading.Event()

    class Slow(Steps):
        def initialise(self) -> None:
            go.wait()

    await serve(Slow())
    await host.until(lambda: any(status["state"] == "loading" for status in host.statuses))
    command = host.post("plain", is_long=False, name="x")
    assert (await host.answered(host.ask("get_module_status")))["state"] == "loading"
    assert not command.was_claimed
    go.set()
    assert (await host.answered(command))["answer"] == "x"
    status = await host.until(lambda: host.statuses[-1]["state"] == "ready" and host.statuses[-1])
    assert status["own"] == "words" and status["error"] is None and status["machine"]
    await host.until(lambda: host.statuses[-1]["busy"] == 0 and host.statuses[-1]["slots"] == 2)


async def test_a_module_that_fails_to_start_says_why(host: FakeHost, serve: Serve) -> None:
    class Broken(Steps):
        def initialize(self) -> None:
            raise FileNotFoundError("no model at ./models/x.gguf")

    await serve(Broken())
    result = await host.finished(host.post(name="a"))
    assert result["success"] is False and "no model at ./models/x.gguf" in result["error"]
    assert result["code"] == 503
    assert (await host.answered(host.post("plain", is_long=False)))["success"] is False
    await host.until(lambda: host.statuses[-1]["state"] == "failed")
    assert host.statuses[-1]["error"] == "no model at ./models/x.gguf"
    assert any("no model" in entry["entry"] for entry in host.logs)


async def test_system_commands(host: FakeHost, serve: Serve) -> None:
    module = Steps()
    await serve(module)
    command = host.post(name="a", steps=2)
    module.permit("a")
    await grows_to(host, command, "a0 ")
    command_id = command.command_id
    status = await host.answered(host.ask("GET_command_status", commandId=command_id))
    assert status["reply"] == "a0 " and status["commandStatus"] == "running"
    assert (await host.answered(host.ask("selftest")))["success"] is True
    for name in ("get_module_status", "status", "get_status"):
        assert (await host.answered(host.ask(name)))["own"] == "words"
    assert (await host.answered(host.ask("frobnicate")))["code"] == 400
    assert (await host.answered(host.ask("cancel_command")))["success"] is False
    assert (await host.answered(host.ask("Quit", moduleId="Other")))["success"] is False
    # The same, should a host put them into the work queue.
    assert (await host.answered(host.post("get_module_status", is_long=False)))["own"] == "words"
    cancel = host.post("cancel_command", is_long=False, commandId=command_id)
    assert (await host.answered(cancel))["success"] is True
    assert (await host.finished(command))["stop_reason"] == "cancelled"


async def test_faulty_overrides_do_not_stop_the_module(host: FakeHost, serve: Serve) -> None:
    class Faulty(Steps):
        def module_status(self) -> Any:
            raise ValueError("status broke")

        def update_statistics(self, response: Any) -> None:
            raise ValueError("statistics broke")

    await serve(Faulty())
    assert (await host.answered(host.ask("get_module_status")))["success"] is True
    answer = await host.answered(host.post("plain", is_long=False, name="x"))
    assert answer["answer"] == "x"


async def test_a_host_that_comes_late_and_goes_away(host: FakeHost, serve: Serve) -> None:
    module = Steps()
    await host.stop()
    await serve(module)
    await host.start()
    command = host.post(name="a", steps=3)
    module.permit("a")
    await grows_to(host, command, "a0 ")
    await host.stop()
    module.permit("a", 2)
    await host.start()
    result = await host.finished(command)
    assert command.text == "a0 a1 a2 " and result["success"] is True
    plain = host.post("plain", is_long=False, name="x")
    assert (await host.answered(plain))["answer"] == "x"


async def test_faults_in_the_middle_change_nothing(host: FakeHost, serve: Serve) -> None:
    module = Steps()
    await serve(module)
    host.faults.extend(["unavailable", "lost", "lost", "unavailable", "lost"])
    command = host.post(name="a", steps=20)
    module.permit("a", 20)
    await host.finished(command)
    assert command.text == "".join(f"a{step} " for step in range(20))


async def test_another_attempt_stops_the_first(host: FakeHost, serve: Serve) -> None:
    module = Steps(parallelism=1)
    await serve(module)
    command = host.post(name="a", steps=9)
    module.permit("a")
    await grows_to(host, command, "a0 ")
    command.attempt = "given to another"
    module.permit("a")
    other = host.post(name="b")
    module.permit("b")
    assert (await host.finished(other))["success"] is True
    assert command.text == "a0 "


async def test_quit_ends_what_runs_and_reports_it(
    host: FakeHost, serve: Serve, finish: Callable[[], Any]
) -> None:
    module = Steps()
    await serve(module)
    command = host.post(name="a", steps=2)
    module.permit("a")
    await grows_to(host, command, "a0 ")
    waiting = host.post("wait", is_long=False, name="never")
    await host.until(lambda: waiting.was_claimed)
    later = host.post(name="b")
    host.quit()
    assert await finish() == 0
    assert command.text == "a0 " and command.result is None, "the host judges what becomes of it"
    goodbye = host.statuses[-1]
    assert (goodbye["state"], goodbye["commands"]) == ("stopped", [])
    assert goodbye["error"] == "the host asked"
    answer = await host.answered(waiting)
    assert answer["success"] is False and answer["code"] == 503
    assert not later.was_claimed
    assert module.cleanups == 0, "a thread was still inside the module"
    module.permit("never")


async def test_an_idle_module_cleans_up(
    host: FakeHost, serve: Serve, finish: Callable[[], Any]
) -> None:
    module = Steps()
    await serve(module)
    assert (await host.answered(host.ask("Quit", moduleId="testmodule")))["success"] is True
    assert await finish() == 0 and module.cleanups == 1


async def test_statistics(talkative: None, host: FakeHost, serve: Serve) -> None:
    module = Steps()
    await serve(module)
    module.permit("a")
    await host.finished(host.post(name="a"))
    await host.finished(host.post(steps="x"))
    await host.until(lambda: host.statuses[-1]["numInferences"] == 2)
    assert host.statuses[-1]["successfulInferences"] == 1
    assert host.statuses[-1]["averageInferenceMs"] == 5
