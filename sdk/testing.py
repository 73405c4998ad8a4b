"""For a module's own tests and self-test: run one command through it, without a host.

Invariant: the command goes through what a served one goes through, so its state, text, fields and
result are what the host would be told.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sdk.author.module_runner import ModuleRunner
from sdk.field.published import PublishedStyle
from sdk.host.wire import Work
from sdk.work import answers
from sdk.work.command_board import LongCommand
from sdk.work.long_process import LongProcess
from sdk.work.module_threads import ModuleThreads
from sdk.work.request_data import RequestData

COMMAND_ID = "test"

CancelWhen = Callable[[str, Mapping[str, Any]], bool]
"""Given the text and the fields so far; True cancels the command there and then."""


@dataclass(frozen=True)
class Ended:
    """How a command ended. `state` is completed, cancelled or failed; `text` the whole reply;
    `fields` what was set; `result` the answer, or what the long process returned, completed."""

    state: str
    text: str
    fields: dict[str, Any]
    result: dict[str, Any]


@dataclass(frozen=True)
class Request:
    """What a client sends. A list as a value is several values under one name; `files` are the
    contents by their names, in order."""

    values: Mapping[str, Any] = field(default_factory=dict)
    command: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)
    segments: Sequence[str] = ()

    def payload(self) -> dict[str, Any]:
        """As it comes from a host, which sends every value as text."""
        return {
            "command": self.command,
            "urlSegments": list(self.segments),
            "values": [{"key": key, "value": _texts(one)} for key, one in self.values.items()],
            "files": [_file(name, content) for name, content in self.files.items()],
        }


def run_command(
    module: ModuleRunner,
    request: Request | Mapping[str, Any],
    cancel_when: CancelWhen | None = None,
) -> Ended:
    """Run one command to its end, and return how it ended. `initialise()` is the caller's to call.

    A mapping stands for a request with these values. Not from a coroutine: there, await
    `run_command_async()`.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(run_command_async(module, request, cancel_when))
    raise RuntimeError("run_command() inside an event loop: await run_command_async() there")


async def run_command_async(
    module: ModuleRunner,
    request: Request | Mapping[str, Any],
    cancel_when: CancelWhen | None = None,
) -> Ended:
    """The same, for those who have an event loop."""
    asked = request if isinstance(request, Request) else Request(request)
    work, threads = Work(COMMAND_ID, asked.payload()), ModuleThreads()
    data = RequestData.from_work(work)
    try:
        value = await threads.call(module.process, data)
    except Exception as error:
        return _answered(answers.failure_of(error))
    if not (isinstance(value, LongProcess) or callable(value)):
        return _answered(answers.complete(value, "process()"))
    return await _run_long(module, work, data, value, threads, cancel_when)


async def _run_long(
    module: ModuleRunner,
    work: Work,
    data: RequestData,
    function: Any,
    threads: ModuleThreads,
    cancel_when: CancelWhen | None,
) -> Ended:
    def look() -> None:
        running = command.running
        if cancel_when is not None and cancel_when(running.text, running.output.fields()[0]):
            running.request_cancel()
            loop.call_soon_threadsafe(command.cancel_requested.set)

    loop = asyncio.get_running_loop()
    command = LongCommand(work, data, look, lambda: None)
    if isinstance(function, LongProcess):
        command.start()
        call = asyncio.ensure_future(threads.call(function.fn, data, command.running))
        await asyncio.wait({call})
        cancel_when = None  # it has ended: there is nothing left to cancel
        command.finish(answers.long_result(call, command.running))
    else:
        await PublishedStyle(module, threads).run(command, function)
    fields, _ = command.output.fields()
    return Ended(command.state.value, command.running.text, fields, command.result or {})


def _answered(answer: dict[str, Any]) -> Ended:
    return Ended("completed" if answer["success"] else "failed", "", {}, answer)


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, (list, tuple)) else [value]
    return [one if isinstance(one, str) else str(one) for one in values]


def _file(name: str, content: bytes) -> dict[str, str]:
    return {"name": name, "filename": name, "data": base64.b64encode(content).decode("ascii")}
