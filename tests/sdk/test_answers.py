"""Whatever a module returns or raises becomes an answer that can be sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from sdk import RequestError
from sdk.host.answer_sender import enveloped
from sdk.host.wire import Work, encode_json
from sdk.work import answers


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "process() returned None"),
        ("text", "process() returned str"),
        ({"x": object()}, "JSON cannot hold"),
        ({"x": float("nan")}, "JSON cannot hold"),
        ({"success": False}, "without giving a reason"),
    ],
)
def test_faulty_answers_say_so(value: Any, words: str) -> None:
    answer = answers.complete(value, "process()")
    assert answer["success"] is False and words in answer["error"]
    encode_json(answer)


def test_an_answer_without_success() -> None:
    assert answers.complete({"x": 1}, "process()") == {"x": 1, "success": True}
    assert answers.complete({"error": "no"}, "process()")["success"] is False
    assert answers.complete({"error": None}, "process()")["success"] is True
    assert answers.complete({"success": 1}, "process()")["success"] is True


def test_something_that_contains_itself() -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    assert answers.complete(loop, "process()")["success"] is False


def test_errors_keep_their_own_words() -> None:
    bad = answers.failure_of(RequestError("prompt", "a text", ""))
    assert bad["code"] == 400 and bad["error"].startswith("prompt: expected a text")
    assert answers.failure_of(KeyError())["error"] == "KeyError"
    assert answers.failure_of(OSError("disk full")) == {
        "success": False,
        "error": "disk full",
        "code": 500,
    }


@dataclass
class Signer:
    module_id: str = "M"
    module_name: str = "Module"
    inference_device: str = "GPU"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"success": True}, 200),
        ({"success": False, "error": "x"}, 500),
        ({"success": False, "error": "x", "code": 400}, 400),
        ({"success": True, "code": "ok"}, 200),
        ({"success": True, "code": True}, 200),
    ],
)
def test_the_envelope(answer: dict[str, Any], code: int) -> None:
    envelope = enveloped(answer, Work("7", {"command": "prompt"}), Signer())
    assert envelope["code"] == code
    assert envelope["moduleId"] == "M" and envelope["moduleName"] == "Module"
    assert envelope["command"] == "prompt" and envelope["requestId"] == "7"
    assert envelope["inferenceDevice"] == "GPU"
