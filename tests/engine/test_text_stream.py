"""Text comes out on UTF-8 borders, and stop strings never do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_engine.text.text_stream import TextStream


def shown(pieces: list[bytes], stop: tuple[str, ...] = ()) -> tuple[list[str], TextStream]:
    stream = TextStream(stop)
    return [*(stream.push(piece) for piece in pieces), stream.flush()], stream


@pytest.mark.parametrize("text", ["🇩🇪", "你好世界", "👩‍👩‍👧", "é", "a\u0301"])
def test_split_characters_come_out_whole(text: str) -> None:
    pieces, _ = shown([bytes([byte]) for byte in text.encode()])
    assert "".join(pieces) == text
    assert "\ufffd" not in "".join(pieces)


def test_half_a_character_at_the_end_is_left_out() -> None:
    assert "".join(shown([b"ab", "你".encode()[:2]])[0]) == "ab"


def test_what_is_no_utf8_is_replaced() -> None:
    assert "".join(shown([b"a\xff", b"b"])[0]) == "a\ufffdb"


def test_a_stop_string_over_token_borders() -> None:
    pieces, stream = shown([b"one E", b"N", b"D two"], ("END",))
    assert pieces == ["one ", "", "", ""]
    assert stream.is_stopped


def test_the_beginning_of_a_stop_string_comes_out_when_it_is_none() -> None:
    pieces, stream = shown([b"one E", b"N", b"O two"], ("END",))
    assert "".join(pieces) == "one ENO two"
    assert not stream.is_stopped


def test_the_earliest_of_several_stops_counts() -> None:
    pieces, _ = shown([b"a;b--c"], ("--", ";"))
    assert "".join(pieces) == "a"


def test_nothing_comes_after_a_stop() -> None:
    stream = TextStream(("x",))
    assert stream.push(b"1x2") == "1"
    assert stream.push(b"3") == stream.flush() == ""


@given(st.text(max_size=40), st.lists(st.integers(1, 7), max_size=30), st.text("ab", max_size=3))
def test_any_split_gives_the_text_before_the_stop(text: str, cuts: list[int], stop: str) -> None:
    raw, pieces = text.encode(), []
    for cut in cuts:
        pieces.append(raw[:cut])
        raw = raw[cut:]
    pieces.append(raw)
    joined = "".join(shown(pieces, (stop,) if stop else ())[0])
    assert joined == (text.split(stop, 1)[0] if stop else text)
