"""Recorded replies of families of models, cut anywhere: always the same channels."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_engine.chat.chat_backend import ChatMessage
from llama_engine.chat.reply_formats import PLAIN, ReplyFormat, format_of
from llama_engine.chat.reply_parser import Piece, ReplyParser
from recorded_replies import ARGUMENTS, PARTLY_READ, QWEN, RECORDED, TOOLS, UNREADABLE, Recorded

EVERY = RECORDED | UNREADABLE | PARTLY_READ


class Heard:
    """The channels, put together."""

    def __init__(self) -> None:
        self.reply = self.reasoning = ""
        self.calls: list[tuple[str, str]] = []

    def take(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            if piece.channel == "tool_calls":
                if piece.number == len(self.calls):
                    self.calls.append((piece.name, ""))
                name, text = self.calls[piece.number]
                assert name == piece.name
                self.calls[piece.number] = (name, text + piece.text)
            else:
                setattr(self, piece.channel, getattr(self, piece.channel) + piece.text)


def hear(recorded: Recorded, pieces: list[str]) -> Heard:
    parser = ReplyParser(recorded.form, TOOLS, is_thinking=recorded.is_thinking)
    heard = Heard()
    for piece in pieces:
        heard.take(parser.push(piece))
    heard.take(parser.end())
    assert parser.end() == []
    assert parser.has_calls == bool(recorded.calls)
    return heard


def assert_heard(recorded: Recorded, pieces: list[str]) -> None:
    heard = hear(recorded, pieces)
    assert heard.reply == recorded.reply
    assert heard.reasoning == recorded.reasoning
    assert tuple(heard.calls) == recorded.calls


@pytest.mark.parametrize("name", EVERY)
def test_cut_at_every_character(name: str) -> None:
    recorded = EVERY[name]
    text = recorded.text
    assert_heard(recorded, [text])
    assert_heard(recorded, list(text))
    for at in range(1, len(text)):
        assert_heard(recorded, [text[:at], text[at:]])


PIECES = [
    "<think>", "</think>", "<tool_call>", "</tool_call>", '{"name": "clock", "arguments": ',
    "{}", "}", '"', "\\", " ", "\n", "Köln", "[TOOL_CALLS]", "[", "]", ",", "<|channel|>",
    "final", "analysis", "<|message|>", "<|end|>", "<|start|>", "<｜tool▁calls▁begin｜>",
    "<|python_tag|>", "<start_function_call>", "call:clock{}", "<end_function_call>",
]  # fmt: skip


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.sampled_from(PIECES), max_size=14).map("".join),
    st.sampled_from([each.form for each in RECORDED.values()]),
    st.integers(1, 5),
)
def test_whatever_comes_is_the_same_however_it_is_cut(
    text: str, form: ReplyFormat, step: int
) -> None:
    whole, cut = Heard(), Heard()
    for heard, size in ((whole, len(text) + 1), (cut, step)):
        parser = ReplyParser(form, TOOLS)
        for at in range(0, len(text), size):
            heard.take(parser.push(text[at : at + size]))
        heard.take(parser.end())
    assert vars(whole) == vars(cut)
    said = whole.reply + whole.reasoning + "".join(arguments for _, arguments in whole.calls)
    assert said.count("Köln") == text.count("Köln")


def test_text_is_not_held_longer_than_it_could_be_a_mark() -> None:
    parser = ReplyParser(RECORDED["qwen 3"].form, TOOLS)
    assert parser.push("Wait") == [Piece("reply", "Wait")]
    assert parser.push(" <b") == [Piece("reply", " <b")]
    assert parser.push("r> <tool") == [Piece("reply", "r>")]
    assert parser.push("box>") == [Piece("reply", " <toolbox>")]


def test_arguments_stream_as_they_come() -> None:
    parser = ReplyParser(RECORDED["qwen 3"].form, TOOLS)
    assert parser.push('<tool_call>{"name": "weather", "arg') == []
    assert parser.push('uments": {"ci') == [Piece("tool_calls", '{"ci', 0, "weather")]
    assert parser.push('ty": "}"}') == [Piece("tool_calls", 'ty": "}"}', 0, "weather")]


def test_without_tools_calls_are_text() -> None:
    text = f'<tool_call>{{"name": "weather", "arguments": {ARGUMENTS}}}</tool_call>'
    parser = ReplyParser(format_of(QWEN), {})
    assert parser.push(text) == [Piece("reply", text)]
    plain = ReplyParser(PLAIN, {})
    assert plain.push("<think>") == [Piece("reply", "<think>")]


def test_a_reply_that_has_begun() -> None:
    said = ChatMessage(role="assistant", content="Yes, ", reasoning_content="Hm.")
    for name, prompt in (("qwen 3", ""), ("deepseek r1", "<think>\n"), ("gpt-oss", "")):
        form = RECORDED[name].form
        parser = ReplyParser(form, TOOLS, is_thinking=form.has_opened(prompt))
        parser.skip(form.begun(prompt, said))
        assert parser.push("I do") + parser.end() == [Piece("reply", "I do")], name
    form = RECORDED["deepseek r1"].form
    parser = ReplyParser(form, TOOLS, is_thinking=True)
    parser.skip(form.begun("<think>\n", ChatMessage(role="assistant", content="Yes")))
    assert parser.push(".") == [Piece("reply", ".")]
