"""Replies that must call a tool: what each family's grammar lets pass is read as that call."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import template_families as families
from llama_engine.chat.chat_backend import ChatMessage
from llama_engine.chat.chat_template import ChatTemplate, Prompt
from llama_engine.chat.engine_chat import EngineChat
from llama_engine.chat.reply_formats import format_of
from llama_engine.chat.reply_grammar import call_grammar, json_grammar
from llama_engine.chat.reply_parser import ReplyParser
from llama_engine.chat.tools import Tools, read_tools
from llama_engine.errors import GrammarError, ParameterError
from llama_engine.loading.engine_loading import load_engine
from llama_engine.options import EngineOptions
from llguidance import LLMatcher, LLTokenizer
from recorded_replies import ARGUMENTS, PARAMETERS, RECORDED

WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "Tells it.",
    "parameters": {**PARAMETERS, "required": ["city"]}}}  # fmt: skip
CLOCK = {"type": "function", "function": {"name": "clock", "description": "Tells it."}}
REQUIRED = read_tools({"tools": [WEATHER, CLOCK], "tool_choice": "required"})
HERMES_CALL = f'<tool_call>\n{{"name": "weather", "arguments": {ARGUMENTS}}}\n</tool_call>'
DEEPSEEK_CALL = (
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n"
    f"{ARGUMENTS}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
)


def is_kept(grammar: str, text: str) -> bool:
    """Whether the whole text is a reply that the grammar accepts, and that may end there."""
    matcher = LLMatcher(LLTokenizer("byte"), grammar, log_level=0)
    taken = matcher.try_consume_tokens(list(text.encode()))
    return taken == len(text.encode()) and matcher.is_accepting()


def prompt(template: str, text: str = "") -> Prompt:
    return Prompt(text, "", template, format_of(template))


@pytest.mark.parametrize(
    ("template", "end", "text"),
    [
        (families.QWEN_2_5, "", HERMES_CALL),
        (families.QWEN_2_5 + families.QWEN_3, "", f"<think>\nHm.\n</think>\n\n{HERMES_CALL}"),
        (families.QWEN_2_5 + families.QWEN_3, "", HERMES_CALL),
        (families.LLAMA_3, "", f'{{"name": "weather", "parameters": {ARGUMENTS}}}'),
        (
            families.MISTRAL_V3,
            "",
            f'[TOOL_CALLS] [{{"name": "weather", "arguments": {ARGUMENTS}}}]',
        ),
        (
            "[TOOL_CALLS] [ARGS] [/THINK]",
            "",
            f"[THINK]Hm.[/THINK][TOOL_CALLS]weather[ARGS]{ARGUMENTS}",
        ),
        (families.DEEPSEEK_R1, "<think>\n", f"Hm.</think>\n\n{DEEPSEEK_CALL}"),
        ("<｜tool▁calls▁begin｜>", "", RECORDED["deepseek v3.1"].text),
        (
            families.FUNCTION_GEMMA,
            "",
            "<start_function_call>call:weather{city:<escape>Köln<escape>,days:2}"
            "<end_function_call>",
        ),
        (
            "<|tool_call>",
            "",
            '<|tool_call>call:weather{city:<|"|>Köln<|"|>,days:2}<tool_call|>',
        ),
        (
            families.GPT_OSS,
            "",
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary "
            f"to=functions.weather <|constrain|>json<|message|>{ARGUMENTS}",
        ),
    ],
)
def test_a_family_s_own_call_is_kept_and_read(template: str, end: str, text: str) -> None:
    asked = prompt(template, end)
    grammar = call_grammar(asked, REQUIRED)
    assert is_kept(grammar, text)
    assert not is_kept(grammar, "It rains.")
    assert not is_kept(grammar, text.replace("weather", "thunder"))
    assert not is_kept(grammar, text[: len(text) // 2])
    parser = ReplyParser(asked.form, REQUIRED.parameters, is_thinking=asked.is_thinking)
    pieces = parser.push(text) + parser.end()
    called = [piece for piece in pieces if piece.channel == "tool_calls"]
    assert {piece.name for piece in called} == {"weather"}
    assert "".join(piece.text for piece in called) == ARGUMENTS
    assert "".join(piece.text for piece in pieces if piece.channel == "reasoning") in ("", "Hm.")
    assert not [piece for piece in pieces if piece.channel == "reply"]


def test_arguments_are_held_to_their_schema_and_the_choice_to_its_tool() -> None:
    asked = prompt(families.LLAMA_3)
    grammar = call_grammar(asked, REQUIRED)
    assert is_kept(grammar, '{"name": "clock", "parameters": {}}')
    for wrong in ('{"days": 2}', '{"city": 2}', '{"city": "Köln", "days": "two"}', "{}"):
        assert not is_kept(grammar, f'{{"name": "weather", "parameters": {wrong}}}')
    named = call_grammar(asked, Tools(REQUIRED.listed, ("clock",)))
    assert not is_kept(named, f'{{"name": "weather", "parameters": {ARGUMENTS}}}')


def test_what_cannot_be_kept_is_refused_by_its_name() -> None:
    with pytest.raises(ParameterError, match="how this model calls tools is not known"):
        call_grammar(prompt(families.PHI_3), REQUIRED)
    lists = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    odd = {"type": "function", "function": {"name": "odd", "parameters": lists}}
    demanded = read_tools({"tools": [odd], "tool_choice": "required"})
    with pytest.raises(GrammarError, match="uniqueItems"):
        call_grammar(prompt(families.LLAMA_3), demanded)


@pytest.mark.parametrize(
    ("template", "end", "before"),
    [
        (families.QWEN_3, "", ""),
        (families.DEEPSEEK_R1, "<think>\n", "Hm.</think>\n\n"),
        (families.GPT_OSS, "", "<|channel|>final<|message|>"),
        (
            families.GPT_OSS,
            "",
            "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>",
        ),
    ],
)
def test_json_comes_after_what_the_prompt_lets_it_think(
    template: str, end: str, before: str
) -> None:
    asked = prompt(template, end)
    grammar = json_grammar(asked, PARAMETERS)
    assert is_kept(grammar, before + ARGUMENTS)
    assert not is_kept(grammar, before + "It rains.")
    parser = ReplyParser(asked.form, {}, is_thinking=asked.is_thinking)
    pieces = parser.push(before + ARGUMENTS) + parser.end()
    assert "".join(piece.text for piece in pieces if piece.channel == "reply") == ARGUMENTS


SAID = [ChatMessage(role="user", content="ba be bi")]
DAYS = {"type": "object", "properties": {"days": {"enum": [1, 2, 3]}}, "required": ["days"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "x", "parameters": DAYS}}


@pytest.fixture(scope="module")
def chat(tiny_model: Path) -> Iterator[EngineChat]:
    """A model of random weights that says nothing by itself, and a template that knows tools."""
    loaded = load_engine(tiny_model, EngineOptions(sequences=2, context_tokens=1024, threads=1))
    loaded.engine.start()
    template = ChatTemplate({"default": families.QWEN_2_5}, "", "", False)
    chat = EngineChat(loaded.engine, template, loaded.facts)
    yield chat
    chat.close()


def complete(chat: EngineChat, messages: Sequence[ChatMessage] = SAID, **options: Any) -> Any:
    return chat.complete(messages, {"max_tokens": 120, **options})["choices"][0]


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "weather"}}]
)
def test_a_model_that_must_call_does(chat: EngineChat, choice: Any) -> None:
    reply = complete(chat, tools=[TOOL], tool_choice=choice, temperature=1.0)
    (call,) = reply["message"]["tool_calls"]
    assert call["id"] and call["type"] == "function"
    assert call["function"]["name"] == "weather"
    assert json.loads(call["function"]["arguments"])["days"] in (1, 2, 3)
    assert reply["message"]["content"] == ""
    assert reply["finish_reason"] == "tool_calls"


def test_a_call_and_its_answer_go_on_as_a_conversation(chat: EngineChat) -> None:
    message = complete(chat, tools=[TOOL], tool_choice="required")["message"]
    answer = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "rain"}
    assert complete(chat, [*SAID, message, answer], tools=[TOOL])["message"]["content"]


@pytest.mark.parametrize(
    ("messages", "options"),
    [
        (SAID, {"grammar": 'root ::= "a"'}),
        (SAID, {"response_format": {"type": "json_object"}}),
        ([*SAID, ChatMessage(role="assistant", content="Yes")], {}),
    ],
)
def test_a_call_cannot_be_demanded_beside(
    chat: EngineChat, messages: list[ChatMessage], options: dict[str, Any]
) -> None:
    with pytest.raises(ParameterError, match="tool_choice: expected auto or none beside grammar"):
        complete(chat, messages, tools=[TOOL], tool_choice="required", **options)
