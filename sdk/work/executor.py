"""Runs one command after another through the module's `process()`, and its long ones to their end.

Invariant: every command given to it is answered, whatever the module does; a slot taken for a
command is given back when the module's code for it has really ended, and not before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from sdk.host.answer_sender import AnswerSender
from sdk.host.wire import Work
from sdk.work import answers
from sdk.work.command_board import CommandBoard, LongCommand
from sdk.work.hooks import CommandHooks
from sdk.work.long_process import LongProcess
from sdk.work.module_threads import ModuleThreads
from sdk.work.readiness import Readiness
from sdk.work.request_data import RequestData
from sdk.work.slots import Slots

logger = logging.getLogger(__name__)

STARTED_MESSAGE = "Command is running in the background"

PublishedFunction: TypeAlias = Callable[..., Any]
RunPublished: TypeAlias = Callable[[LongCommand, PublishedFunction], Awaitable[None]]


@dataclass(frozen=True)
class CommandExecutor:
    """The module's work. `slots` counts what runs; `track` is told of every long command whose
    progress the host may be told of; `run_published` runs a bare callable, which `process()` of the
    published style returns, when it is that command's turn."""

    module: CommandHooks
    board: CommandBoard
    slots: Slots
    threads: ModuleThreads
    readiness: Readiness
    sender: AnswerSender
    run_published: RunPublished
    track: Callable[[LongCommand], None]

    async def run_claimed(self, work: Work, on_style_known: Callable[[], None]) -> None:
        """Protocol 2: the caller holds a slot for this command, which ends here."""
        try:
            command, function = await self._begin(work)
            on_style_known()
            if command is not None:
                self._announce(work, command)
                await self._run_long(command, function)
        finally:
            self.slots.release()

    async def run_backlogged(self, work: Work, gate: asyncio.Semaphore) -> None:
        """Part 1: a long command is answered at once and waits here for its slot."""
        async with gate:
            command, function = await self._begin(work)
        if command is None:
            return
        self._announce(work, command)
        await self.slots.acquire()
        try:
            await self._run_long(command, function)
        finally:
            self.slots.release()

    def _announce(self, work: Work, command: LongCommand) -> None:
        """Where the route is marked, the client has its id already; else the start answer tells the
        host what this is, and progress follows when it knows."""
        if work.is_long_process:
            self.track(command)
        else:
            start = started_answer(command.command_id)
            self.sender.send(work, start, then=partial(self.track, command))

    async def _begin(self, work: Work) -> tuple[LongCommand | None, Any]:
        """Calls `process()`. An ordinary answer is sent; else the long command and its function."""
        data = RequestData.from_work(work)
        self.board.expect(work.request_id)
        try:
            await self.readiness.wait()
            value = await self._process(data)
            if isinstance(value, LongProcess) or callable(value):
                if not isinstance(value, LongProcess):
                    self.slots.lower_limit(1)
                return self.board.add(work, data), value
            answer = answers.complete(value, "process()")
        except asyncio.CancelledError:
            if not (work.is_long_process and work.attempt):  # else the host gives it to another
                self.sender.send(work, answers.failure("The module was stopped", 503))
            raise
        except Exception as error:
            answer = answers.failure_of(error)
        finally:
            self.board.expect_no_more(work.request_id)
        self._count(answer)
        self.sender.send(work, answer)
        return None, None

    async def _process(self, data: RequestData) -> Any:
        if self.readiness.error is not None:
            return answers.failure(f"the module failed to start: {self.readiness.error}", 503)
        return await self.threads.call(self.module.process, data)

    async def _run_long(self, command: LongCommand, function: Any) -> None:
        if not isinstance(function, LongProcess):
            await self.run_published(command, function)
        elif not command.is_finished:
            command.start()
            await self._run_own_state(command, function)
        if command.result is not None:
            self._count(command.result)

    async def _run_own_state(self, command: LongCommand, function: LongProcess) -> None:
        call = asyncio.ensure_future(self.threads.call(function.fn, command.data, command.running))
        try:
            await asyncio.wait({call})
        finally:
            call.cancel()
        command.finish(answers.long_result(call, command.running))

    def _count(self, answer: dict[str, Any]) -> None:
        try:
            self.module.update_statistics(answer)
        except Exception as error:
            logger.warning("update_statistics() failed", exc_info=error)


def started_answer(command_id: str) -> dict[str, Any]:
    return {
        "success": True,
        "message": STARTED_MESSAGE,
        "commandId": command_id,
        "commandStatus": "running",
    }
