"""A client's messages, in OpenAI's shape, checked.

Invariant: what cannot be used is an error that names the message and its field; nothing that was
said is left out. Each message's content is one text, and a tool's message has its tool's name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from llama_engine.chat.chat_backend import ChatMessage
from llama_engine.errors import ParameterError

_ROLES = {
    "system": "system",
    "developer": "system",  # the same by its newer name, which few templates know
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_FIELDS = {
    "system": ("name",),
    "user": ("name",),
    "assistant": ("name", "reasoning_content", "tool_calls"),
    "tool": ("name", "tool_call_id"),
}


MOST_MESSAGES = 4_096


def read_messages(value: Any) -> list[ChatMessage]:
    """Raises ParameterError."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or not value:
        raise ParameterError("messages", "a list of at least one message", value)
    if len(value) > MOST_MESSAGES:
        raise ParameterError("messages", f"at most {MOST_MESSAGES} messages", len(value))
    messages = [_message(each, f"messages[{at}]") for at, each in enumerate(value)]
    _name_tools(messages)
    return messages


def _message(value: Any, at: str) -> ChatMessage:
    if not isinstance(value, dict):
        raise ParameterError(at, "an object with role and content", value)
    role = _ROLES.get(value["role"]) if isinstance(value.get("role"), str) else None
    if role is None:
        raise ParameterError(f"{at}.role", f"one of {', '.join(_ROLES)}", value.get("role"))
    message = ChatMessage(role=role, content=_content(value, role, at))
    for field, given in value.items():
        if field in ("role", "content") or not given:  # OpenAI's own answers have empty fields
            continue
        if field not in _FIELDS[role]:
            raise ParameterError(f"{at}.{field}", f"nothing in a message of {role}", given)
        _add(message, field, given, at)
    return message


def _add(message: ChatMessage, field: str, given: Any, at: str) -> None:
    if field == "tool_calls":
        message["tool_calls"] = _calls(given, f"{at}.tool_calls")
    elif isinstance(given, str):
        message[field] = given  # type: ignore[literal-required]
    else:
        raise ParameterError(f"{at}.{field}", "a text", given)


def _content(value: dict[str, Any], role: str, at: str) -> str:
    """One text, whether it came as one, as parts, or (beside calls) as null."""
    content = value.get("content")
    if content is None and role == "assistant" and _says_more(value):
        return ""
    if isinstance(content, list):
        return "".join(_part(part, f"{at}.content[{i}]") for i, part in enumerate(content))
    if not isinstance(content, str):
        raise ParameterError(f"{at}.content", "a text or a list of parts", content)
    return content


def _says_more(value: dict[str, Any]) -> bool:
    return bool(value.get("tool_calls") or value.get("reasoning_content"))


def _part(part: Any, at: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind != "text" or not isinstance(part.get("text"), str):
        raise ParameterError(at, "a part of type text, with its text", part)
    return str(part["text"])


def _calls(value: Any, at: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise ParameterError(at, "a list of calls", value)
    return [_call(call, number, f"{at}[{number}]") for number, call in enumerate(value)]


def _call(call: Any, number: int, at: str) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ParameterError(at, "a function with name and arguments", call)
    arguments = function.get("arguments")
    if isinstance(arguments, dict):
        arguments = json.dumps(arguments, ensure_ascii=False)
    if not isinstance(arguments, str):
        raise ParameterError(f"{at}.function.arguments", "JSON text or an object", arguments)
    identity = call.get("id") or f"call{number:05}"  # as Mistral's templates want one
    if not isinstance(identity, str):
        raise ParameterError(f"{at}.id", "a text", identity)
    own = {"name": function["name"], "arguments": arguments}
    return {"id": identity, "type": "function", "function": own}


def _name_tools(messages: Sequence[ChatMessage]) -> None:
    """Give each tool's message the name of the tool it comes from: OpenAI's have an id alone."""
    names: dict[str, str] = {}
    for message in messages:
        for call in message.get("tool_calls", ()):
            names[call["id"]] = call["function"]["name"]
        if message["role"] == "tool" and "name" not in message:
            name = names.get(message.get("tool_call_id", ""))
            if name is not None:
                message["name"] = name
