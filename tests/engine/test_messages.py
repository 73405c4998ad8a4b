"""Messages and tools as clients send them: what is read, and what is wrong in few words."""

from __future__ import annotations

from typing import Any

import pytest
from llama_chat import DEFAULT_SYSTEM_PROMPT, conversation
from llama_engine.chat.messages import read_messages
from llama_engine.chat.tools import read_tools
from llama_engine.errors import ParameterError

USER = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


def test_parts_are_one_text_and_empty_fields_are_left_out() -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    assert read_messages(
        [
            {"role": "developer", "content": parts, "name": "ed"},
            {"role": "assistant", "content": "Yes", "refusal": None, "tool_calls": []},
        ]
    ) == [
        {"role": "system", "content": "Hello", "name": "ed"},
        {"role": "assistant", "content": "Yes"},
    ]


def test_a_tool_s_message_gets_its_tool_s_name() -> None:
    calls = [
        {"id": "a", "function": {"name": "weather", "arguments": {"city": "Köln"}}},
        {"function": {"name": "time", "arguments": ""}},
    ]
    said = read_messages(
        [
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "a", "content": "Rain"},
            {"role": "tool", "content": "Late"},
        ]
    )
    assert said[0]["content"] == ""
    assert [call["id"] for call in said[0]["tool_calls"]] == ["a", "call00001"]
    assert said[0]["tool_calls"][0]["function"]["arguments"] == '{"city": "Köln"}'
    assert said[1]["name"] == "weather"
    assert "name" not in said[2]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], r"messages: expected a list of at least one message, got \[\]"),
        ("Hi", "messages: expected a list"),
        ([USER] * 5000, "messages: expected at most 4096 messages, got 5000"),
        ([USER, 1], r"messages\[1\]: expected an object with role and content, got 1"),
        ([{"role": "bot", "content": ""}], r"messages\[0\].role: expected one of system, .*'bot'"),
        ([{"role": ["user"], "content": ""}], r"messages\[0\].role: expected one of"),
        ([{"role": "user"}], r"messages\[0\].content: expected a text or a list of parts"),
        ([{"role": "assistant", "content": None}], r"messages\[0\].content: expected a text"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}],
            r"messages\[0\].content\[0\]: expected a part of type text",
        ),
        ([{**USER, "tool_calls": [1]}], r"messages\[0\].tool_calls: expected nothing in a message"),
        ([{**USER, "name": 1}], r"messages\[0\].name: expected a text, got 1"),
        (
            [{"role": "assistant", "tool_calls": [{"id": "a"}]}],
            r"messages\[0\].tool_calls\[0\]: expected a function with name and arguments",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": 1}}]}],
            r"tool_calls\[0\].function.arguments: expected JSON text or an object, got 1",
        ),
    ],
)
def test_messages_that_cannot_be_used(value: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        read_messages(value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tools": {}}, "tools: expected a list of at most 128 tools"),
        ({"tools": [{"type": "function"}]}, r"tools\[0\]: expected an object of type function"),
        (
            {"tools": [{"type": "function", "function": {"name": "a b"}}]},
            r"tools\[0\].function.name: expected 1 to 64 of the characters .*'a b'",
        ),
        ({"tools": [TOOL, TOOL]}, r"tools\[1\].function.name: expected a name of its own"),
        (
            {"tools": [{"type": "function", "function": {"name": "a", "parameters": 1}}]},
            r"tools\[0\].function.parameters: expected a JSON schema of an object",
        ),
        ({"tool_choice": "required"}, "tool_choice: expected tools beside it"),
        ({"tools": [TOOL], "tool_choice": "always"}, "tool_choice: expected auto, none, required"),
        (
            {"tools": [TOOL], "tool_choice": {"function": {"name": "time"}}},
            r"tool_choice: expected one of the tools \(weather\), got 'time'",
        ),
    ],
)
def test_tools_that_cannot_be_used(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        read_tools(arguments)


def test_what_templates_write_down_is_there() -> None:
    (tool,) = read_tools({"tools": [{"type": "function", "function": {"name": "clock"}}]}).listed
    assert tool["function"] == {
        "name": "clock", "description": "", "parameters": {"type": "object", "properties": {}}
    }  # fmt: skip


def test_choices() -> None:
    named = {"type": "function", "function": {"name": "weather"}}
    assert read_tools({}).listed == ()
    assert read_tools({"tools": [TOOL], "tool_choice": "none"}).listed == ()
    assert read_tools({"tools": [TOOL], "tool_choice": "auto"}).demanded == ()
    assert read_tools({"tools": [TOOL], "tool_choice": "required"}).demanded == ("weather",)
    assert read_tools({"tools": [TOOL], "tool_choice": named}).demanded == ("weather",)


def test_a_prompt_and_messages_together() -> None:
    system = {"role": "system", "content": "Be brief."}
    usual = {"role": "system", "content": DEFAULT_SYSTEM_PROMPT}
    assert conversation("Hi") == [usual, USER]
    assert conversation("Hi", " ") == [USER]
    assert conversation(None, None, [USER]) == [USER]
    assert conversation(None, "Be brief.", [USER]) == [system, USER]
    assert conversation("Hi", None, [system, USER]) == [system, USER, USER]
    assert conversation("Hi", None, [USER]) == [usual, USER, USER]
    with pytest.raises(ParameterError, match="system_prompt: expected none beside messages"):
        conversation("Hi", "Be brief.", [system])
    with pytest.raises(ParameterError, match="prompt: expected a text, or messages"):
        conversation(None)
