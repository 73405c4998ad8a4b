"""A long command's states, its cancel, and the text that only grows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.host.wire import Work
from sdk.work.command_board import (
    KEPT_FINISHED,
    CancelAnswer,
    CommandBoard,
    LongCommand,
    State,
    missing_text,
)
from sdk.work.request_data import RequestData


def make(board: CommandBoard | None = None, command_id: str = "id") -> LongCommand:
    board = board or CommandBoard(lambda: None)
    return board.add(Work(command_id, {}), RequestData())


@pytest.mark.parametrize(
    ("result", "state", "stop_reason"),
    [
        ({"success": True}, State.COMPLETED, "completed"),
        ({"success": True, "stop_reason": "length"}, State.COMPLETED, "length"),
        ({"success": True, "stop_reason": "cancelled"}, State.CANCELLED, "cancelled"),
        ({"success": False, "error": "x"}, State.FAILED, None),
    ],
)
async def test_ends(result: dict[str, object], state: State, stop_reason: str | None) -> None:
    command = make()
    command.start()
    assert command.finish(result) and command.state is state
    assert command.result is not None and command.result.get("stop_reason") == stop_reason
    assert command.result["processMs"] >= 0
    assert not command.finish({"success": True}) and command.state is state


async def test_a_cancelled_command_that_gives_no_reason_was_cancelled() -> None:
    command = make()
    command.start()
    assert command.cancel() is CancelAnswer.REQUESTED
    assert command.cancel() is CancelAnswer.REPEATED
    command.finish({"success": True})
    assert command.state is State.CANCELLED
    assert command.cancel() is CancelAnswer.FINISHED


async def test_a_waiting_one_ends_at_once() -> None:
    board = CommandBoard(lambda: None)
    command = make(board)
    assert board.cancel("id") is CancelAnswer.CANCELLED and command.state is State.CANCELLED
    assert board.cancel("other") is CancelAnswer.UNKNOWN
    with pytest.raises(RuntimeError, match="cannot start a command that is cancelled"):
        command.start()


async def test_the_last_finished_are_kept_and_the_unfinished_always() -> None:
    board = CommandBoard(lambda: None)
    waiting = make(board, "waiting")
    for number in range(KEPT_FINISHED + 5):
        make(board, str(number)).finish({"success": True})
    make(board, "last")
    assert board.get("waiting") is waiting and board.get("4") is None
    assert board.get("5") is not None and len(list(board)) == KEPT_FINISHED + 2
    assert [command.command_id for command in board.unfinished()] == ["waiting", "last"]


async def test_the_reply_completes_the_text() -> None:
    command = make()
    command.start()
    command.running.append("Hello wor")
    command.finish({"success": True, "reply": "Hello world", "tokens": 2})
    assert command.running.text == "Hello world"
    assert command.result is not None and "reply" not in command.result


async def test_one_claimed_again_replaces_and_stops_the_earlier_one() -> None:
    board = CommandBoard(lambda: None)
    earlier = make(board)
    earlier.start()
    again = make(board)
    assert board.get("id") is again and not again.running.is_cancelled
    assert earlier.running.is_cancelled


async def test_a_cancel_that_comes_before_process_has_returned_is_kept() -> None:
    board = CommandBoard(lambda: None)
    board.expect("id")
    assert board.cancel("id") is CancelAnswer.REQUESTED
    assert board.cancel("id") is CancelAnswer.REPEATED
    command = make(board)
    assert command.state is State.CANCELLED and board.cancel("id") is CancelAnswer.FINISHED
    board.expect("ordinary")
    board.expect_no_more("ordinary")
    assert board.cancel("ordinary") is CancelAnswer.UNKNOWN


@pytest.mark.parametrize(
    ("held", "whole", "missing"),
    [
        ("", "abc", "abc"),
        ("ab", "abc", "c"),
        (" ab", "abc", "c"),
        ("abc ", "abc", ""),
        ("abc", "", ""),
        ("abc STOP", "abc", ""),
        ("50 %", "The answer", "\n\nThe answer"),
    ],
)
def test_missing_text(held: str, whole: str, missing: str) -> None:
    assert missing_text(held, whole) == missing


@given(st.text(), st.text())
def test_nothing_of_the_whole_is_ever_lost(held: str, whole: str) -> None:
    assert whole.strip() in held + missing_text(held, whole)
