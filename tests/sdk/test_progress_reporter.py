"""Offsets and resends: whatever gets lost on the way, the host ends up with the text, once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.host import progress_reporter
from sdk.host.errors import HostUnavailable
from sdk.host.progress_reporter import CommandReport, ProgressReporter
from sdk.host.tasks import Wake
from sdk.host.wire import CommandProgress, CommandReceipt, ProgressReply, ProgressReport, Work
from sdk.work.command_board import CommandBoard, LongCommand
from sdk.work.request_data import RequestData

STEPS = st.lists(
    st.one_of(
        st.text(max_size=6).map(lambda text: ("append", text)),
        st.integers(0, 3).map(lambda value: ("set", value)),
        st.sampled_from(["lost on the way there", "answer lost", "part taken", "delivered"]).map(
            lambda fate: ("send", fate)
        ),
    ),
    max_size=30,
)


class ModelHost:
    """What a host does with entries, by the book."""

    def __init__(self) -> None:
        self.text = ""
        self.fields: dict[str, Any] = {}
        self.results: list[dict[str, Any]] = []

    def take(self, entry: CommandProgress, limit: int | None = None) -> CommandReceipt:
        assert entry["offset"] <= len(self.text), "the module skipped something"
        text = entry["text"] if limit is None else entry["text"][:limit]
        end = entry["offset"] + len(text)
        assert self.text[entry["offset"] : end] == text[: len(self.text) - entry["offset"]]
        self.text += text[len(self.text) - entry["offset"] :]
        self.fields |= entry["fields"]
        if "result" in entry and entry["offset"] + len(entry["text"]) <= len(self.text):
            self.results.append(entry["result"])
        return CommandReceipt(entry["commandId"], True, len(self.text))


def make(board: CommandBoard | None = None) -> LongCommand:
    board = board or CommandBoard(lambda: None)
    return board.add(Work("id", {}, "attempt", True), RequestData())


def deliver(report: CommandReport, host: ModelHost, fate: str) -> None:
    entry = report.build()
    if fate == "lost on the way there":
        return
    receipt = host.take(entry, 1 if fate == "part taken" else None)
    if fate != "answer lost":
        report.apply(receipt)


@given(STEPS)
def test_the_host_ends_up_with_everything_once(steps: list[tuple[str, Any]]) -> None:
    async def play() -> None:
        command, host = make(), ModelHost()
        report = CommandReport(command)
        command.start()
        for kind, value in steps:
            if kind == "append":
                command.running.append(value)
            elif kind == "set":
                command.running.set(value=value)
            else:
                deliver(report, host, value)
                assert command.running.text.startswith(host.text)
        command.finish({"success": True})
        for fate in (
            "lost on the way there",
            "part taken",
            "answer lost",
            "delivered",
            "delivered",
        ):
            if not report.is_settled:
                deliver(report, host, fate)
        assert report.is_settled and host.text == command.running.text
        assert host.fields == command.output.fields()[0]
        assert host.results and all(result == command.result for result in host.results)

    asyncio.run(play())


async def test_a_huge_text_goes_in_pieces_and_the_result_with_the_last() -> None:
    command, host = make(), ModelHost()
    command.start()
    command.running.append("x" * (2 * progress_reporter.MAX_TEXT_PER_REPORT + 1))
    command.finish({"success": True})
    report = CommandReport(command)
    for _ in range(3):
        assert not host.results
        assert report.apply(host.take(report.build()))
    assert report.is_settled and len(host.results) == 1 and host.text == command.running.text


async def test_a_host_that_holds_more_or_less_than_possible_does_no_harm() -> None:
    command = make()
    command.start()
    command.running.append("abc")
    report = CommandReport(command)
    report.build()
    report.apply(CommandReceipt("id", True, 99))
    assert report.acked == 3
    report.apply(CommandReceipt("id", True, -5))
    assert report.acked == 0 and report.build()["text"] == "abc"


class Exchange:
    """A reporter whose requests the test answers one by one."""

    def __init__(self) -> None:
        self.wake, urgent = Wake(), Wake()
        self.board = CommandBoard(self.wake.ring, urgent.ring)
        self.requests: asyncio.Queue[ProgressReport] = asyncio.Queue()
        self.replies: asyncio.Queue[ProgressReply | Exception] = asyncio.Queue()
        self.reporter = ProgressReporter(self._send, self.board.cancel, self.wake, urgent)
        self.task = asyncio.ensure_future(self.reporter.run())

    async def _send(self, report: ProgressReport) -> ProgressReply:
        self.requests.put_nowait(report)
        reply = await self.replies.get()
        if isinstance(reply, Exception):
            raise reply
        return reply

    def reply(self, offset: int, *, accepted: bool = True, cancel: tuple[str, ...] = ()) -> None:
        receipt = CommandReceipt("id", accepted, offset)
        self.replies.put_nowait(ProgressReply(cancel, (receipt,)))

    async def next(self) -> CommandProgress:
        report = await asyncio.wait_for(self.requests.get(), 10)
        return report["commands"][0]

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})

    def start(self) -> LongCommand:
        command = make(self.board)
        command.start()
        self.reporter.track(command)
        return command


async def test_text_that_comes_while_a_request_is_out_goes_with_the_next() -> None:
    exchange = Exchange()
    command = exchange.start()
    command.running.append("one ")
    assert (await exchange.next())["text"] == "one "
    command.running.append("two ")
    command.running.append("three")
    assert exchange.requests.empty()
    exchange.reply(4)
    entry = await exchange.next()
    assert (entry["offset"], entry["text"], entry["attempt"]) == (4, "two three", "attempt")
    await exchange.end()


async def test_the_first_and_the_last_words_do_not_wait_for_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress_reporter, "BATCH_S", 60.0)
    exchange = Exchange()
    command = exchange.start()
    command.running.set(promptTokens=7)
    assert (await exchange.next())["fields"] == {"promptTokens": 7}
    exchange.reply(0)
    command.running.append("one")
    assert (await exchange.next())["text"] == "one"
    exchange.reply(3)
    command.running.append(" two")
    command.finish({"success": True})
    assert (await exchange.next())["text"] == " two"
    await exchange.end()


async def test_it_goes_on_from_where_the_host_is() -> None:
    exchange = Exchange()
    exchange.start().running.append("abcdef")
    await exchange.next()
    exchange.reply(2)
    entry = await exchange.next()
    assert (entry["offset"], entry["text"]) == (2, "cdef")
    await exchange.end()


async def test_nothing_is_dropped_while_the_host_is_away() -> None:
    exchange = Exchange()
    command = exchange.start()
    command.running.append("a")
    await exchange.next()
    exchange.replies.put_nowait(HostUnavailable("gone"))
    command.running.append("b")
    command.finish({"success": True})
    entry = await exchange.next()
    assert (entry["offset"], entry["text"]) == (0, "ab") and entry["result"]["success"] is True
    assert not await exchange.reporter.drain(0)
    exchange.reply(2)
    assert await exchange.reporter.drain(5)
    await exchange.end()


async def test_a_refused_command_is_cancelled_and_not_mentioned_again() -> None:
    exchange = Exchange()
    command = exchange.start()
    command.running.append("a")
    await exchange.next()
    exchange.reply(0, accepted=False)
    await asyncio.wait_for(command.cancel_requested.wait(), 5)
    assert command.running.is_cancelled and await exchange.reporter.drain(1)
    await exchange.end()


async def test_cancels_come_with_the_answer() -> None:
    exchange = Exchange()
    command = exchange.start()
    command.running.append("a")
    await exchange.next()
    exchange.reply(1, cancel=("id", "unknown"))
    await asyncio.wait_for(command.cancel_requested.wait(), 5)
    await exchange.end()


async def test_a_silent_command_has_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_reporter, "HEARTBEAT_S", 0.2)
    exchange = Exchange()
    exchange.start()
    for _ in range(2):
        entry = await exchange.next()
        assert entry["text"] == "" and entry["fields"] == {} and "result" not in entry
        exchange.reply(0)
    await exchange.end()


async def test_an_answer_that_brings_nothing_forward_is_not_answered_with_a_storm() -> None:
    exchange = Exchange()
    exchange.start().running.append("abc")
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    for _ in range(4):
        await exchange.next()
        exchange.reply(0)
    assert loop.time() - started_s > 0.4  # three growing pauses
    await exchange.end()
