"""A request's fields as the engine takes them, and what is wrong with them in few words."""

from __future__ import annotations

import json

import pytest
from chat_request import ChatRequest

from sdk import RequestData


def data_with(**values: str) -> RequestData:
    fields = [{"key": name, "value": [value]} for name, value in {"prompt": "Hi", **values}.items()]
    return RequestData(json.dumps({"reqid": "r1", "payload": {"values": fields}}))


def test_a_json_object_is_read() -> None:
    request = ChatRequest.from_data(data_with(response_format='{"type": "json_object"}'))
    assert request.options["response_format"] == {"type": "json_object"}


def test_a_conversation_is_read_and_needs_no_prompt() -> None:
    said = [{"role": "user", "content": "Hi"}]
    choice = {"type": "function", "function": {"name": "weather"}}
    request = ChatRequest.from_data(
        data_with(
            prompt="",
            messages=json.dumps(said),
            tools="[]",
            tool_choice=json.dumps(choice),
            enable_thinking="false",
            reasoning_effort="low",
            chat_template="rag",
        )
    )
    assert request.prompt is None
    assert request.messages == said
    assert request.options["tool_choice"] == choice
    assert request.options["tools"] == []
    assert request.options["enable_thinking"] is False
    assert request.options["reasoning_effort"] == "low"
    assert request.options["chat_template"] == "rag"
    assert ChatRequest.from_data(data_with(tool_choice="none")).options["tool_choice"] == "none"


@pytest.mark.parametrize("text", ["{}", "[", "Hi"])
def test_messages_are_a_list(text: str) -> None:
    with pytest.raises(ValueError, match="messages: expected a JSON array"):
        ChatRequest.from_data(data_with(messages=text))


@pytest.mark.parametrize("text", ["[" * 100_000, "[1]", "{", "nothing " * 100_000])
def test_what_is_no_json_object_is_told_in_few_words(text: str) -> None:
    with pytest.raises(ValueError, match="response_format") as error:
        ChatRequest.from_data(data_with(response_format=text))
    assert "a JSON object" in str(error.value)
    assert len(str(error.value)) < 300
