"""What a module's author tests with: one command through the module, without a host."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from sdk import LongProcess, ModuleRunner, RequestData, RunningCommand
from sdk.testing import Request, run_command, run_command_async


class Shout(ModuleRunner):
    """Long, short, wrong and asynchronous ones."""

    def process(self, data: RequestData) -> Any:
        if data.command == "list":
            return {"voices": data.get_values("voice")}
        if data.command == "whisper":
            return LongProcess(self.whisper)
        data.get_int("times", 1, minimum=1)
        return LongProcess(self.shout)

    def shout(self, data: RequestData, command: RunningCommand) -> dict[str, Any]:
        for number, word in enumerate(data.get_value("prompt", "").split(), 1):
            if command.is_cancelled:
                break
            command.append(word.upper() + " ")
            command.set(words=number)
        if not command.text:
            raise RuntimeError("nothing to shout")
        return {"inferenceMs": 12}

    async def whisper(self, data: RequestData, command: RunningCommand) -> None:
        command.append((data.get_file_bytes(0) or b"").decode() + "/".join(data.segments))


class Published(ModuleRunner):
    """One reply and one flag; it ends only when it is cancelled."""

    def process(self, data: RequestData) -> Any:
        return self.talk

    def talk(self, data: RequestData) -> dict[str, Any]:
        self.reply_text, self.cancelled = "talk", threading.Event()
        self.cancelled.wait(30)
        return {"success": True, "reply": "talked"}

    def command_status(self) -> dict[str, Any]:
        return {"success": True, "reply": self.reply_text}

    def cancel_command_task(self) -> None:
        self.force_shutdown = False
        self.cancelled.set()

    reply_text = ""


def test_a_long_command_gives_text_fields_and_result() -> None:
    ended = run_command(Shout(), {"prompt": "good morning"})
    assert (ended.state, ended.text, ended.fields) == ("completed", "GOOD MORNING ", {"words": 2})
    assert ended.result["inferenceMs"] == 12 and ended.result["stop_reason"] == "completed"
    assert ended.result["processMs"] >= 0


def test_a_cancel_comes_at_the_moment_that_is_named() -> None:
    words = {"prompt": "a b c d"}
    ended = run_command(Shout(), words, cancel_when=lambda text, _: text.endswith("B "))
    assert (ended.state, ended.text) == ("cancelled", "A B ")
    ended = run_command(Shout(), words, cancel_when=lambda _, fields: fields.get("words") == 3)
    assert (ended.state, ended.text) == ("cancelled", "A B C ")


def test_wrong_input_and_an_error_fail_as_the_client_would_see_it() -> None:
    wrong = run_command(Shout(), {"times": "many"})
    assert (wrong.state, wrong.result["code"]) == ("failed", 400)
    assert wrong.result["error"] == "times: expected a whole number, got 'many'"
    assert run_command(Shout(), {}).result["error"] == "nothing to shout"


def test_an_ordinary_answer_and_several_values_of_one_name() -> None:
    ended = run_command(Shout(), Request({"voice": ["a", "b"]}, command="list"))
    assert ended.result == {"voices": ["a", "b"], "success": True} and ended.state == "completed"


async def test_in_an_event_loop_with_a_file_and_segments() -> None:
    request = Request(command="whisper", files={"note.txt": b"psst "}, segments=["x", "y"])
    assert (await run_command_async(Shout(), request)).text == "psst x/y"
    with pytest.raises(RuntimeError, match="await run_command_async"):
        run_command(Shout(), request)


def test_the_published_style() -> None:
    ended = run_command(Published(), {}, cancel_when=lambda text, _: text == "talk")
    assert (ended.state, ended.text) == ("cancelled", "talked")
