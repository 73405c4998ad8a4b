"""What a client may ask of the route text/chat, checked.

Invariant: a value that cannot be used is an error that names the field, what was expected and what
came; nothing is corrected silently. Ranges are the engine's to check: it names them too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sdk import RequestData, RequestError

DEFAULT_TEMPERATURE = 0.4
HIGHEST_TEMPERATURE = 2.0

_WHOLE_NUMBERS = ("top_k", "seed", "mirostat_mode", "top_logprobs")
_NUMBERS = (
    "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty", "frequency_penalty",
    "mirostat_tau", "mirostat_eta",
)  # fmt: skip
_TEXTS = ("grammar", "chat_template", "reasoning_effort")
_OBJECTS = ("logit_bias", "response_format")
_Kind = TypeVar("_Kind", list[Any], dict[str, Any])


@dataclass(frozen=True)
class ChatRequest:
    """One question, or a conversation. `max_tokens` 0 is as many as the context holds. A
    `system_prompt` of None was not sent, an empty one was.

    `messages` are as they came: the engine reads them. `options` are further arguments of a chat
    completion, by llama-cpp-python's names.
    """

    prompt: str | None
    system_prompt: str | None
    max_tokens: int
    temperature: float
    options: dict[str, Any] = field(default_factory=dict)
    messages: list[Any] | None = None

    @classmethod
    def from_data(cls, data: RequestData) -> ChatRequest:
        """Raises RequestError."""
        messages = _json_value(data, "messages", list, "a JSON array")
        prompt = data.get_value("prompt")
        if not (prompt or "").strip():
            if messages is None:
                raise RequestError("prompt", "a text that is not blank, or messages", prompt)
            prompt = None
        system_prompt = data.get_value("system_prompt")
        return cls(
            prompt=None if prompt is None else _with_plain_lines(prompt),
            system_prompt=None if system_prompt is None else _with_plain_lines(system_prompt),
            max_tokens=data.get_int("max_tokens", 0, minimum=0),
            temperature=data.get_float(
                "temperature", DEFAULT_TEMPERATURE, minimum=0.0, maximum=HIGHEST_TEMPERATURE
            ),
            options=_options(data),
            messages=messages,
        )


def _options(data: RequestData) -> dict[str, Any]:
    found: dict[str, Any] = {name: data.get_int(name) for name in _WHOLE_NUMBERS}
    found |= {name: data.get_float(name) for name in _NUMBERS}
    found["logprobs"] = data.get_bool("logprobs")
    found["stop"] = _stop(data)
    found["enable_thinking"] = data.get_bool("enable_thinking")
    found |= {name: data.get_value(name) or None for name in _TEXTS}
    found |= {name: _json_value(data, name, dict, "a JSON object") for name in _OBJECTS}
    found["tools"] = _json_value(data, "tools", list, "a JSON array")
    found["tool_choice"] = _tool_choice(data)
    return {name: value for name, value in found.items() if value is not None}


def _stop(data: RequestData) -> list[str] | None:
    """One text, several under the same key, or a JSON list of them."""
    texts = [text for text in data.get_values("stop") if text]
    if len(texts) == 1 and texts[0].startswith("["):
        try:
            listed = json.loads(texts[0])
        except ValueError:
            return texts  # a text that begins with a bracket
        if isinstance(listed, list) and all(isinstance(text, str) for text in listed):
            return listed
    return texts or None


def _tool_choice(data: RequestData) -> Any:
    """A word, or a JSON object that names a tool."""
    text = data.get_value("tool_choice") or ""
    if text.lstrip().startswith("{"):
        return _json_value(data, "tool_choice", dict, "a JSON object")
    return text or None


def _json_value(data: RequestData, name: str, kind: type[_Kind], expected: str) -> _Kind | None:
    text = data.get_value(name)
    if not text:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):  # the second: nested ten thousand deep
        raise RequestError(name, expected, _beginning(text)) from None
    if not isinstance(value, kind):
        raise RequestError(name, expected, _beginning(text))
    return value


def _beginning(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."


def _with_plain_lines(text: str) -> str:
    """Browsers send every line break of a form as CR LF; models were trained on LF."""
    return text.replace("\r\n", "\n")
