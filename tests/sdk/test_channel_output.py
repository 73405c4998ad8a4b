"""What a command puts out in channels, and what somebody lacks who holds a part of it."""

from __future__ import annotations

import pytest

from sdk.host.output import REPLY, Channel, Output
from sdk.work.long_process import RunningCommand

REASONING = Channel("reasoning")
CALL = Channel("tool_calls", 0, "weather")


def filled() -> Output:
    output = Output()
    for channel, text in ((REASONING, "so "), (REASONING, "what"), (REPLY, "I "), (CALL, "{}")):
        output.add(channel, text)
    output.add(REPLY, "see")
    return output


def test_what_is_lacking_comes_in_its_order() -> None:
    output = filled()
    assert output.total == 14 and output.text(REPLY) == "I see" and not output.has_reply_alone
    assert [(one["channel"], one["offset"], one["text"]) for one in output.lacking({}, 99)] == [
        *(("reasoning", 0, "so what"), ("reply", 0, "I ")),
        *(("tool_calls", 0, "{}"), ("reply", 2, "see")),
    ]
    held = {REASONING: 7, REPLY: 1, CALL: 0}
    rest = output.lacking(held, 99)
    assert [one["text"] for one in rest] == [" ", "{}", "see"]
    assert rest[1]["name"] == "weather" and rest[1]["index"] == 0
    assert output.lacking({REASONING: 7, REPLY: 5, CALL: 2}, 99) == []


def test_what_is_lacking_can_be_cut() -> None:
    output, seen = filled(), ""
    held: dict[Channel, int] = {}
    while pieces := output.lacking(held, 3):
        for piece in pieces:
            channel = Channel(piece["channel"], piece.get("index"), piece.get("name", ""))
            held[channel] = piece["offset"] + len(piece["text"])
            seen += piece["text"]
    assert seen == "so whatI {}see"


def test_append_says_what_a_channel_is() -> None:
    command = RunningCommand("id", on_change=lambda: None)
    command.append("hm", channel="reasoning")
    command.append("{}", channel="tool_calls", index=0, name="weather")
    command.append("yes")
    assert command.text == "yes" and command.output.total == 7
    with pytest.raises(ValueError, match="small letters"):
        command.append("x", channel="Reasoning")
    with pytest.raises(ValueError, match="expects an index"):
        command.append("x", channel="tool_calls")
