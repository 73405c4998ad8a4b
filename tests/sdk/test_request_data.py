"""A request's inputs: absent gives the default, wrong names the field."""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk import RequestData, RequestError
from sdk.host.wire import Work


def data_with(**values: object) -> RequestData:
    data = RequestData()
    for key, value in values.items():
        data.add_value(key, value)
    return data


def test_from_the_wire() -> None:
    payload = {
        "queue": "q",
        "command": "prompt",
        "urlSegments": ["a", "b"],
        "values": [{"key": "prompt", "value": ["first", "second"]}],
        "files": [{"name": "f", "data": base64.b64encode(b"hi").decode()}],
    }
    for data in (
        RequestData(json.dumps({"reqid": "7", "payload": payload})),
        RequestData.from_work(Work("7", payload)),
    ):
        assert (data.request_id, data.queue, data.command) == ("7", "q", "prompt")
        assert data.segments == ["a", "b"]
        assert data.get_value("prompt") == "first"
        assert data.get_file_bytes(0) == b"hi"
        assert data.get_file_bytes(1) is None and data.get_file_bytes(-1) is None


@pytest.mark.parametrize(
    "payload", [None, {}, {"values": None, "files": None, "urlSegments": None}]
)
def test_a_bare_payload_gives_defaults(payload: dict[str, Any] | None) -> None:
    data = RequestData.from_work(Work("7", payload or {}))
    assert data.get_value("x") is None and data.get_value("x", "d") == "d"
    assert data.segments == [] and data.get_file_bytes(0) is None and data.command == ""


def test_a_self_test_builds_its_own(tmp_path: Path) -> None:
    data = RequestData()
    data.queue, data.command, data.segments = "q", "prompt", ["s"]
    data.add_value("prompt", "hi")
    data.add_value("max_tokens", 5)
    data.add_value("", "ignored")
    path = tmp_path / "note.txt"
    path.write_bytes(b"\x00\xff")
    data.add_file(str(path))
    again = RequestData(data.json())
    assert again.payload == data.payload and again.get_int("max_tokens") == 5
    assert again.get_value("max_tokens") == "5" and again.get_file_bytes(0) == b"\x00\xff"


@pytest.mark.parametrize(
    ("value", "number"), [("5", 5), (" -7 ", -7), ("+3", 3), (0, 0), ("", 9), ("  ", 9)]
)
def test_get_int(value: object, number: int) -> None:
    assert data_with(n=value).get_int("n", 9) == number


@pytest.mark.parametrize("value", ["abc", "5.5", "1_000", "0x10", "٣", "9" * 5000, "1e3", True])
def test_a_wrong_int_names_the_field(value: object) -> None:
    with pytest.raises(RequestError, match=r"^max_tokens: expected a whole number") as caught:
        data_with(max_tokens=value).get_int("max_tokens", 9)
    assert caught.value.field == "max_tokens" and len(str(caught.value)) < 200


@given(st.integers(min_value=-(10**100), max_value=10**100))
def test_every_int_is_read_back(number: int) -> None:
    assert data_with(n=str(number)).get_int("n") == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_read_back(number: float) -> None:
    assert data_with(n=str(number)).get_float("n") == number


@given(st.text())
def test_any_text_is_a_number_or_an_error(text: str) -> None:
    for read in (data_with(n=text).get_int, data_with(n=text).get_float):
        try:
            number = read("n")
        except RequestError:
            continue
        assert number is None or math.isfinite(number)


@pytest.mark.parametrize("value", ["warm", "nan", "inf", "-Infinity", "1_0.5", "1e999"])
def test_a_wrong_float_names_the_field(value: str) -> None:
    with pytest.raises(RequestError, match=r"^temperature: expected a finite number"):
        data_with(temperature=value).get_float("temperature", 0.4)


def test_ranges() -> None:
    data = data_with(n=-1, x="2.5")
    with pytest.raises(RequestError, match="n: expected at least 0, got -1"):
        data.get_int("n", minimum=0)
    with pytest.raises(RequestError, match="x: expected at most 2"):
        data.get_float("x", maximum=2)
    assert data.get_float("x", minimum=2, maximum=3) == 2.5
    assert data.get_int("absent", 5, minimum=9) == 5


@pytest.mark.parametrize("word", ["1", "true", "True", "YES", "on", "t", "y", True])
def test_true_words(word: object) -> None:
    assert data_with(b=word).get_bool("b") is True


@pytest.mark.parametrize("word", ["0", "false", "No", "off", "F", "n", False])
def test_false_words(word: object) -> None:
    assert data_with(b=word).get_bool("b", True) is False


def test_a_wrong_bool_names_the_field() -> None:
    with pytest.raises(RequestError, match="b: expected true or false, got 'maybe'"):
        data_with(b="maybe").get_bool("b")
    assert data_with(b="").get_bool("b", True) is True


@pytest.mark.parametrize("item", [{"data": "***"}, {"data": 5}, {}, "x"])
def test_a_garbled_file_names_its_index(item: Any) -> None:
    data = RequestData.from_work(Work("1", {"files": [item]}))
    with pytest.raises(RequestError, match="file 0: expected base64"):
        data.get_file_bytes(0)


def test_an_image_that_is_none() -> None:
    assert RequestData().get_image(0) is None


def test_small_helpers() -> None:
    assert RequestData.clamp(5, 0, 3) == 3 and RequestData.clamp(-0.5, 0.0, 3.0) == 0
    assert RequestData.restrict("b", ["a", "b"], "a") == "b"
    assert RequestData.restrict("z", ["a", "b"], "a") == "a"
