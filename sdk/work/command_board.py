"""The module's own record of its long commands.

Invariant: a command's state moves waiting -> running -> one of completed, cancelled, failed (or
straight from waiting to the end); the end is final; a command knows only its own cancel.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from sdk.host.output import Output
from sdk.host.wire import Work, clean_text
from sdk.work.long_process import RunningCommand
from sdk.work.request_data import RequestData

KEPT_FINISHED = 100


class State(Enum):
    WAITING = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


class CancelAnswer(Enum):
    UNKNOWN = "unknown"
    CANCELLED = "cancelled while it waited"
    REQUESTED = "asked to stop"
    REPEATED = "was asked to stop before"
    FINISHED = "had already finished"


class LongCommand:
    """One long command from its claim to its end. Lives on the event loop."""

    def __init__(
        self,
        work: Work,
        data: RequestData,
        on_change: Callable[[], None],
        on_urgent: Callable[[], None],
    ) -> None:
        self.work = work
        self.data = data
        self.running = RunningCommand(work.request_id, on_change, on_urgent)
        self.state = State.WAITING
        self.result: dict[str, Any] | None = None
        self.cancel_requested = asyncio.Event()
        self.ended = asyncio.Event()
        self.is_given_up = False
        """The module ends before the command: its text is reported, and the host judges."""
        self._on_change = on_change
        self._on_urgent = on_urgent
        self._started_s: float | None = None

    @property
    def command_id(self) -> str:
        return self.work.request_id

    @property
    def output(self) -> Output:
        return self.running.output

    @property
    def is_finished(self) -> bool:
        return self.result is not None

    def start(self) -> None:
        if self.state is not State.WAITING:
            raise RuntimeError(f"cannot start a command that is {self.state.value}")
        self.state = State.RUNNING
        self._started_s = time.monotonic()

    def finish(self, result: dict[str, Any]) -> bool:
        """Ends the command; False if it had ended before (then nothing changes).

        `result` is the module's: `success` false fails it, `stop_reason` "cancelled" cancels it, a
        string `reply` completes the text.
        """
        if self.is_finished:
            return False
        result = dict(result)
        reply = result.pop("reply", None)
        if isinstance(reply, str):
            self.running.append(missing_text(self.running.text, clean_text(reply)))
        self.running.output.close()
        if result["success"] and "stop_reason" not in result:
            result["stop_reason"] = "cancelled" if self.running.is_cancelled else "completed"
        if self._started_s is not None:
            result.setdefault("processMs", round((time.monotonic() - self._started_s) * 1000))
        self.result = result
        self.state = _final_state(result)
        self.ended.set()
        self._on_change()
        self._on_urgent()
        return True

    def cancel(self) -> CancelAnswer:
        if self.is_finished:
            return CancelAnswer.FINISHED
        if self.running.is_cancelled:
            return CancelAnswer.REPEATED
        self.running.request_cancel()
        self.cancel_requested.set()
        if self.state is State.RUNNING:
            return CancelAnswer.REQUESTED
        self.finish({"success": True, "stop_reason": "cancelled"})
        return CancelAnswer.CANCELLED

    def give_up(self) -> None:
        """The module has to end: stop, but as nobody's wish."""
        if not self.is_finished and not self.running.is_cancelled:
            self.is_given_up = True
            self.cancel()


class CommandBoard:
    """All unfinished commands, and the last finished ones.

    `on_change` is called with every change of one, `on_urgent` too when a reply begins or ends.
    """

    def __init__(
        self, on_change: Callable[[], None], on_urgent: Callable[[], None] = lambda: None
    ) -> None:
        self._on_change = on_change
        self._on_urgent = on_urgent
        self._commands: dict[str, LongCommand] = {}
        self._expected: dict[str, bool] = {}
        """Claimed, but `process()` has not said yet what it is; True: cancelled meanwhile."""

    def __iter__(self) -> Iterator[LongCommand]:
        return iter(list(self._commands.values()))

    def get(self, command_id: str) -> LongCommand | None:
        return self._commands.get(command_id)

    def expect(self, command_id: str) -> None:
        """A command has been claimed: a cancel from here on is for it, even before `add()`."""
        self._expected[command_id] = False

    def expect_no_more(self, command_id: str) -> None:
        """It has been answered, or added."""
        self._expected.pop(command_id, None)

    def add(self, work: Work, data: RequestData) -> LongCommand:
        """A new command. One claimed again under the same id takes the place of the earlier one,
        whose attempt is over: that one is to stop."""
        earlier = self._commands.pop(work.request_id, None)
        if earlier is not None:
            earlier.cancel()
        command = LongCommand(work, data, self._on_change, self._on_urgent)
        self._commands[command.command_id] = command
        if self._expected.pop(command.command_id, False):
            command.cancel()
        self._forget_oldest()
        return command

    def held(self) -> set[str]:
        """The ids that have been claimed and have not ended here."""
        return {command.command_id for command in self.unfinished()} | set(self._expected)

    def unfinished(self) -> list[LongCommand]:
        return [command for command in self if not command.is_finished]

    def cancel(self, command_id: str) -> CancelAnswer:
        if command_id in self._expected:
            was_cancelled = self._expected[command_id]
            self._expected[command_id] = True
            return CancelAnswer.REPEATED if was_cancelled else CancelAnswer.REQUESTED
        command = self.get(command_id)
        return command.cancel() if command is not None else CancelAnswer.UNKNOWN

    def refused(self, work: Work) -> None:
        """The host wants no answer to this claim: it is pointless to go on with it."""
        command = self.get(work.request_id)
        if command is not None and command.work is work:
            command.cancel()

    def _forget_oldest(self) -> None:
        finished = [command for command in self if command.is_finished]
        for command in finished[: max(0, len(finished) - KEPT_FINISHED)]:
            del self._commands[command.command_id]


def missing_text(held: str, whole: str) -> str:
    """What to append to `held` so that nothing of `whole` is lost; text only ever grows.

    A final reply often differs from the last status by stripped blanks only; one that differs in
    more comes after an empty line.
    """
    if whole.startswith(held):
        return whole[len(held) :]
    if whole.startswith(held.lstrip()):
        return whole[len(held.lstrip()) :]
    if whole.strip() in held:
        return ""
    return f"\n\n{whole}"


def _final_state(result: dict[str, Any]) -> State:
    if not result["success"]:
        return State.FAILED
    return State.CANCELLED if result["stop_reason"] == "cancelled" else State.COMPLETED
