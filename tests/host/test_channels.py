"""The log of what a command puts out, and how a reader goes on from any place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.channels import Output, Piece, channel_name, parts_of

pieces = st.lists(
    st.builds(Piece, st.sampled_from(["reply", "reasoning", "tool_calls:0:a"]), st.text(min_size=1))
)


@given(pieces)
def test_a_log_is_the_same_however_it_was_cut(log: list[Piece]) -> None:
    grown = Output()
    for channel, text in log:
        for character in text:
            grown = grown.grown(channel, character)
    assert grown == Output.of(log)
    assert grown.length == sum(len(text) for _, text in log)


@given(pieces, st.data())
def test_a_reader_who_resumes_sees_everything_once(log: list[Piece], data: st.DataObject) -> None:
    output = Output.of(log)
    at = data.draw(st.integers(0, output.length))
    rest = output.since(at)
    assert sum(len(text) for _, text in rest) == output.length - at
    for channel, text in output.texts.items():
        assert text.endswith("".join(some for name, some in rest if name == channel))
    assert output.sequence_at(output.offset_at(at)) <= at
    assert output.offset_at(output.sequence_at(len(output.reply))) == len(output.reply)


def test_a_place_that_the_host_has_lost_is_kept() -> None:
    output = Output.of([Piece("reply", "abc")])
    assert output.since(5) == [] and output.offset_at(5) == 5 and output.sequence_at(5) == 5
    assert output.grown("reply", "defg").since(5) == [("reply", "fg")]


def test_names_of_channels() -> None:
    assert channel_name("reasoning") == "reasoning"
    call = channel_name("tool_calls", 1, "get weather")
    assert parts_of(call) == {"channel": "tool_calls", "index": 1, "name": "get weather"}
    for wrong in ("", "Reply", "a:b", "x" * 50, "a\nb"):
        with pytest.raises(ValueError, match="small letters"):
            channel_name(wrong)
