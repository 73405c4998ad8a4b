"""Whatever a module returns or raises becomes an answer that can be sent."""

from __future__ import annotations

from typing import Any

import pytest

from sdk import RequestError
from sdk.host.wire import encode_json
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
