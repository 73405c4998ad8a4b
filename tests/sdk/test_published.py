"""Adapters of the published style on a protocol-2 host: unchanged, one command at a time."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import Any

from conftest import Serve
from fake_host import FakeHost, HostCommand
from published_adapter import PublishedAdapter

from sdk import ModuleRunner, RequestData


def has_text(command: HostCommand, text: str) -> bool:
    return command.text == text


async def test_the_reply_grows_and_ends(host: FakeHost, serve: Serve) -> None:
    module = PublishedAdapter()
    await serve(module)
    command = host.post(word="hi", words=3)
    for text in ("hi ", "hi hi "):
        await host.until(lambda: module.started)
        module.permit()
        await host.until(partial(has_text, command, text))
    module.permit()
    result = await host.finished(command)
    assert command.text == "hi hi hi " and result["stop_reason"] == "completed"
    assert "reply" not in result and command.fields == {}


async def test_one_at_a_time_and_in_order(host: FakeHost, serve: Serve) -> None:
    module = PublishedAdapter()
    module.parallelism = 4
    await serve(module)
    first, second, third = (host.post(word=word, words=2) for word in "abc")
    await host.until(lambda: host.statuses and host.statuses[-1]["slots"] == 1)
    assert not second.was_claimed
    module.permit(2)
    await host.finished(first)
    module.permit(2)
    await host.finished(second)
    module.permit(2)
    await host.finished(third)
    assert (first.text, second.text, third.text) == ("a a ", "b b ", "c c ")
    assert module.started == ["a", "b", "c"]


async def test_a_second_one_claimed_already_waits_inside(host: FakeHost, serve: Serve) -> None:
    """Unmarked routes: the style shows only when the next claim is under way."""
    module = PublishedAdapter()
    module.parallelism = 2
    await serve(module)
    first = host.post(is_long=False, word="a", words=2)
    second = host.post(is_long=False, word="b", words=2)
    third = host.post(is_long=False, word="c", words=2)
    await host.until(lambda: first.was_claimed and module.started)
    if second.was_claimed:  # it may not be cancelled through the adapter, which runs the first
        host.cancel(second)
        assert (await host.finished(second))["stop_reason"] == "cancelled"
    assert module.started == ["a"] and module.cancel_calls == 0
    module.permit(4)
    await host.finished(first)
    await host.finished(third)
    assert first.text == "a a " and third.text == "c c "


async def test_cancel_stops_this_one_and_not_the_next(host: FakeHost, serve: Serve) -> None:
    module = PublishedAdapter()
    await serve(module)
    first = host.post(word="a", words=3)
    await host.until(lambda: module.started)
    module.permit()
    await host.until(lambda: first.text == "a ")
    host.cancel(first)
    assert (await host.finished(first))["stop_reason"] == "cancelled" and first.text == "a "
    module.cancelled = True  # a cancel that came as the first one ended: the sticky flag
    module.reply_text = "a stale "
    second = host.post(word="b", words=2)
    module.permit(2)
    assert (await host.finished(second))["stop_reason"] == "completed"
    assert second.text == "b b "


async def test_a_cancel_before_the_adapter_listens_is_not_lost(
    host: FakeHost, serve: Serve
) -> None:
    class Deaf(PublishedAdapter):
        """Clears its flag as it starts, as published adapters do, and takes its time for that."""

        def long_process(self, data: RequestData) -> dict[str, Any]:
            entered.set()
            while not self.cancelled:
                heard.wait(0.01)
            self.cancelled = False
            return super().long_process(data)

    entered, heard = threading.Event(), threading.Event()
    module = Deaf()
    await serve(module)
    command = host.post(words=5)
    await host.until(entered.is_set)
    host.cancel(command)
    assert (await host.finished(command))["stop_reason"] == "cancelled"
    assert module.cancel_calls >= 2


async def test_forced_shutdown_ends_the_command_but_keeps_the_slot(
    host: FakeHost, serve: Serve
) -> None:
    class Unstoppable(PublishedAdapter):
        def cancel_command_task(self) -> None:
            """Not overridden in spirit: force_shutdown stays True."""

    module = Unstoppable()
    await serve(module)
    first = host.post(word="a", words=2)
    await host.until(lambda: module.started)
    module.permit()
    await host.until(lambda: first.text == "a ")
    host.cancel(first)
    assert (await host.finished(first))["stop_reason"] == "cancelled"
    second = host.post(word="b")
    await host.until(lambda: host.statuses[-1]["busy"] == 1)
    assert not second.was_claimed and module.started == ["a"]
    module.permit()  # the thread ends at last, and nobody listens to it
    module.permit()
    assert (await host.finished(second))["success"] is True
    assert first.text == "a " and second.text == "b "


async def test_an_async_one_is_ended_by_force(host: FakeHost, serve: Serve) -> None:
    class Async(ModuleRunner):
        def process(self, data: RequestData) -> Any:
            return self.long_process

        async def long_process(self, data: RequestData) -> dict[str, Any]:
            if data.get_bool("forever", False):
                await asyncio.Event().wait()
            return {"success": True, "reply": "short"}

    await serve(Async())
    first = host.post(forever=True)
    await host.until(lambda: first.was_claimed)
    host.cancel(first)
    assert (await host.finished(first))["stop_reason"] == "cancelled"
    second = host.post()
    await host.finished(second)
    assert second.text == "short"


async def test_a_failing_one_and_a_failing_status(host: FakeHost, serve: Serve) -> None:
    class Failing(PublishedAdapter):
        def command_status(self) -> Any:
            raise ValueError("status broke")

        def long_process(self, data: RequestData) -> dict[str, Any]:
            if data.get_bool("fail", False):
                raise MemoryError("out of memory")
            return super().long_process(data)

    module = Failing()
    await serve(module)
    result = await host.finished(host.post(fail=True))
    assert result["success"] is False and result["error"] == "out of memory"
    second = host.post(word="b")
    module.permit()
    await host.finished(second)
    assert second.text == "b "


async def test_other_status_fields_are_shown(host: FakeHost, serve: Serve) -> None:
    class Percent(PublishedAdapter):
        def command_status(self) -> dict[str, Any]:
            return {"success": True, "percent": [len(self.reply_text)], "reply": self.reply_text}

    module = Percent()
    await serve(module)
    command = host.post(word="a", words=2)
    await host.until(lambda: module.started)
    module.permit()
    await host.until(lambda: command.fields == {"percent": [2]})
    module.permit()
    await host.finished(command)
