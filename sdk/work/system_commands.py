"""Answers the commands that every module understands, from the SDK's own record.

Invariant: none of them waits behind the module's work, and none raises: each gets an answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sdk.host.answer_sender import AnswerSender
from sdk.host.tasks import TaskSet
from sdk.host.wire import Work
from sdk.work import answers
from sdk.work.command_board import CancelAnswer, CommandBoard, LongCommand, State
from sdk.work.hooks import CommandHooks
from sdk.work.module_threads import ModuleThreads
from sdk.work.request_data import RequestData

CANCEL_MESSAGES = {
    CancelAnswer.CANCELLED: "The command has been cancelled before it began",
    CancelAnswer.REQUESTED: "The command has been asked to stop",
    CancelAnswer.REPEATED: "The command had been asked to stop already",
    CancelAnswer.FINISHED: "The command had already finished; its reply is kept",
}
STATUS_MESSAGES = {
    State.WAITING: "The command waits for its turn",
    State.RUNNING: "The command is running",
    State.COMPLETED: "Command has completed",
    State.CANCELLED: "The command has been cancelled",
    State.FAILED: "The command has failed",
}

Handler = Callable[[RequestData], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class SystemCommands:
    """Answers each in a task of its own, through `sender`. `read_status` is the module's status."""

    module: CommandHooks
    board: CommandBoard
    threads: ModuleThreads
    sender: AnswerSender
    tasks: TaskSet
    read_status: Callable[[], Awaitable[dict[str, Any]]]
    on_quit: Callable[[str], None]

    def takes(self, work: Work) -> bool:
        """Whether this is one of them; it is being answered then."""
        handler = self._handlers().get(work.command.lower())
        if handler is None:
            return False
        self.tasks.spawn(self._answer(handler, work))
        return True

    def take(self, work: Work) -> None:
        """For what can only be one of them."""
        if not self.takes(work):
            error = f"{work.payload.get('command')} is no system command"
            self.sender.send(work, answers.failure(error, 400))

    def _handlers(self) -> dict[str, Handler]:
        return {
            "get_command_status": self._command_status,
            "cancel_command": self._cancel,
            "get_module_status": self._module_status,
            "get_status": self._module_status,
            "status": self._module_status,
            "selftest": self._selftest,
            "quit": self._quit,
        }

    async def _answer(self, handler: Handler, work: Work) -> None:
        try:
            answer = await handler(RequestData.from_work(work))
        except Exception as error:
            answer = answers.failure_of(error)
        self.sender.send(work, answer)

    async def _command_status(self, data: RequestData) -> dict[str, Any]:
        command_id = data.get_value("commandId", "")
        command = self.board.get(command_id)
        return _unknown(command_id) if command is None else status_of(command)

    async def _cancel(self, data: RequestData) -> dict[str, Any]:
        command_id = data.get_value("commandId", "")
        outcome = self.board.cancel(command_id)
        command = self.board.get(command_id)
        if outcome is CancelAnswer.UNKNOWN:
            return _unknown(command_id)
        state = command.state if command is not None else State.WAITING
        return {
            "success": True,
            "message": CANCEL_MESSAGES[outcome],
            "commandId": command_id,
            "commandStatus": state.value,
        }

    async def _module_status(self, _: RequestData) -> dict[str, Any]:
        return {"success": True} | await self.read_status()

    async def _selftest(self, _: RequestData) -> dict[str, Any]:
        return answers.complete(await self.threads.call(self.module.selftest), "selftest()")

    async def _quit(self, data: RequestData) -> dict[str, Any]:
        meant = data.get_value("moduleId", self.module.module_id)
        if meant.lower() != self.module.module_id.lower():
            return answers.failure(f"this is {self.module.module_id}, not {meant}", 400)
        self.on_quit("the host asked")
        return {"success": True, "message": "The module is stopping"}


def status_of(command: LongCommand) -> dict[str, Any]:
    """A long command's status as part 1 knows it: a cancelled one polls as completed."""
    fields, _ = command.output.fields()
    status = fields | (command.result or {})
    state = command.state
    success = state is not State.FAILED
    status |= {
        "success": success,
        "message": STATUS_MESSAGES[state],
        "commandId": command.command_id,
        "commandStatus": "completed" if state is State.CANCELLED else state.value,
        "reply": command.running.text,
    }
    status.pop("code", None)
    return status


def _unknown(command_id: str) -> dict[str, Any]:
    error = f"No command {command_id} is known here" if command_id else "No command ID provided"
    return answers.failure(error, 404 if command_id else 400) | {"commandStatus": "unknown"}
