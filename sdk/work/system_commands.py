"""Answers the commands that every module understands, from the SDK's own record.

Invariant: none of them waits behind the module's work, and none raises: each gets an answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from sdk.host.wire import Work
from sdk.process.status_loop import StatusSource
from sdk.work import answers
from sdk.work.command_board import CancelAnswer, CommandBoard, LongCommand, State
from sdk.work.request_data import RequestData
from sdk.work.user_threads import UserThreads

if TYPE_CHECKING:
    from sdk.author.module_runner import ModuleRunner

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


class SystemCommands:
    def __init__(
        self,
        runner: ModuleRunner,
        board: CommandBoard,
        threads: UserThreads,
        status: StatusSource,
        on_quit: Callable[[str], None],
    ) -> None:
        self._runner = runner
        self._board = board
        self._threads = threads
        self._status = status
        self._on_quit = on_quit
        self._handlers: dict[str, Handler] = {
            "get_command_status": self._command_status,
            "cancel_command": self._cancel,
            "get_module_status": self._module_status,
            "get_status": self._module_status,
            "status": self._module_status,
            "selftest": self._selftest,
            "quit": self._quit,
        }

    def knows(self, work: Work) -> bool:
        return _name(work) in self._handlers

    async def answer(self, work: Work) -> dict[str, Any]:
        """The answer to a command that `knows()` is true for."""
        try:
            return await self._handlers[_name(work)](RequestData.from_work(work))
        except Exception as error:
            return answers.failure_of(error)

    async def _command_status(self, data: RequestData) -> dict[str, Any]:
        command_id = data.get_value("commandId", "")
        command = self._board.get(command_id)
        return _unknown(command_id) if command is None else status_of(command)

    async def _cancel(self, data: RequestData) -> dict[str, Any]:
        command_id = data.get_value("commandId", "")
        outcome = self._board.cancel(command_id)
        command = self._board.get(command_id)
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
        return {"success": True} | await self._status.read()

    async def _selftest(self, _: RequestData) -> dict[str, Any]:
        return answers.complete(await self._threads.call(self._runner.selftest), "selftest()")

    async def _quit(self, data: RequestData) -> dict[str, Any]:
        meant = data.get_value("moduleId", self._runner.module_id)
        if meant.lower() != self._runner.module_id.lower():
            return answers.failure(f"this is {self._runner.module_id}, not {meant}", 400)
        self._on_quit("the host asked")
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


def _name(work: Work) -> str:
    return str(work.payload.get("command") or "").lower()
