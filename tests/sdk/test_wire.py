"""The wire: what is read from a host, and that what leaves is always valid."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.host import wire

TEXT = st.text(max_size=8)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("plain é 漢 😀", "plain é 漢 😀"),
        ("a\ud83d\ude00b", "a😀b"),
        ("a\ud83d", "a\ufffd"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
    ],
)
def test_clean_text(raw: str, clean: str) -> None:
    assert wire.clean_text(raw) == clean


@given(st.text(alphabet=st.characters(categories=["Cs", "L", "N"])))
def test_clean_text_can_always_be_sent(text: str) -> None:
    assert wire.clean_text(text).encode().decode() == wire.clean_text(text)


@given(ANY_JSON)
def test_whatever_is_json_comes_out_as_it_was(value: Any) -> None:
    assert json.loads(wire.encode_json(value)) == value


@pytest.mark.parametrize("value", [float("nan"), {"a": float("inf")}, {1, 2}, object()])
def test_what_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        wire.encode_json(value)


@pytest.mark.parametrize(
    ("body", "protocol"),
    [
        (b'{"success":true,"protocol":2}', 2),
        (b'{"success":true,"protocol":3}', 3),
        (b'{"success":true}', 1),
        (b'{"success":true,"protocol":"2"}', 1),
        (b'{"success":true,"protocol":true}', 1),
        (b"<html>", 1),
        (b"[]", 1),
        (b"", 1),
    ],
)
def test_handshake(body: bytes, protocol: int) -> None:
    assert wire.read_protocol(body) == protocol


def test_work_of_both_parts() -> None:
    part1 = wire.read_work({"reqid": "1", "reqtype": "x", "payload": {"command": "x"}})
    assert part1 == wire.Work("1", {"command": "x"}, "", False)
    part2 = wire.read_work({"reqid": "1", "payload": {}, "attempt": "t", "longProcess": True})
    assert part2 == wire.Work("1", {}, "t", True)
    assert wire.read_work({"reqid": "1", "payload": None}).payload == {}


@pytest.mark.parametrize("item", [{}, {"reqid": ""}, {"reqid": 5}])
def test_work_without_an_id_cannot_be_answered(item: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="reqid"):
        wire.read_work(item)


def test_progress_reply_and_controls_survive_nonsense() -> None:
    assert wire.read_progress_reply({"cancel": None, "commands": [1]}) == wire.ProgressReply((), ())
    reply = wire.read_progress_reply({"commands": [{"commandId": "a", "accepted": True}]})
    assert reply.receipts == (wire.CommandReceipt("a", True, 0),)
    controls = [{"type": "cancel", "commandId": "a"}, {"type": "quit"}, {"no": 1}, "x"]
    assert [control.kind for control in wire.read_controls({"controls": controls})] == [
        "cancel",
        "quit",
        "",
    ]


def test_ids_are_quoted_in_paths() -> None:
    assert wire.answer_path("a/b?c") == "/v1/queue/a%2Fb%3Fc"
