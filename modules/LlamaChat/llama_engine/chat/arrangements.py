"""The ways to put messages for a chat template, which differ in what they can take.

Invariant: nobody's words are lost. The first way is the messages as they are; the others change as
little as a template makes necessary, and each of them says the same.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from llama_engine.chat.chat_backend import ChatMessage

_AFTER_THINKING = "</think>"


def arrangements(messages: Sequence[ChatMessage]) -> Iterator[list[dict[str, Any]]]:
    """From the plainest on; ways that change nothing come once."""
    ways = [
        _ways([_as_it_is, _with_parts], True),
        _ways([_as_it_is, _with_empty_content], _any(messages, "tool_calls")),
        _ways([_with_read_arguments, _as_it_is], _any(messages, "tool_calls")),
        _ways([_as_it_is, _with_short_ids], _any(messages, "tool_calls")),
        _ways([_as_it_is, _merged], _has_neighbours(messages)),
        _ways([_as_it_is, _gathered, _folded], any(one["role"] == "system" for one in messages)),
    ]
    for chosen in itertools.product(*ways):
        arranged = [_as_templates_know_it(message) for message in messages]
        for way in reversed(chosen):
            arranged = way(arranged)
        yield arranged


def _as_templates_know_it(message: ChatMessage) -> dict[str, Any]:
    """A thought by its other name too; gpt-oss' template takes none beside words and calls. A call
    without words has no content: DeepSeek's templates take an empty one for an answer."""
    known: dict[str, Any] = dict(message)
    words, calls = message.get("content"), message.get("tool_calls")
    thought = message.get("reasoning_content")
    if thought and not (calls and words):
        known["thinking"] = thought
    if calls and not words:
        known["content"] = None
    return known


def first_left_out(text: str, messages: Sequence[ChatMessage]) -> int | None:
    """The first message whose words or calls a rendered text lacks, or None.

    What an assistant thought, and what it said beside a call, is for the template to leave out.
    System messages may stand anywhere; the others keep their order.
    """
    everything = "\n".join(_needed(message) for message in messages)
    at = 0
    for number, message in enumerate(messages):
        if message["role"] == "system":
            words = _needed(message)
            if words and text.count(words) < everything.count(words):
                return number
            continue
        calls = message.get("tool_calls", ())
        for words in [call["function"]["name"] for call in calls] or [_needed(message)]:
            found = _end_of(text, words, at)
            if found is None:
                return number
            at = found
    return None


def shows_python(text: str, arranged: Sequence[dict[str, Any]]) -> bool:
    """Whether a template wrote down Python's own spelling of something that it took for a text."""
    if any(message.get("content", "") is None for message in arranged) and "None" in text:
        return True
    calls = (call for message in arranged for call in message.get("tool_calls", ()))
    spelled = [call["function"]["arguments"] for call in calls]
    spelled += [message.get("content") for message in arranged]
    return any(not isinstance(one, str) and one and str(one) in text for one in spelled)


def _needed(message: ChatMessage) -> str:
    content = message.get("content") or ""
    if message["role"] != "assistant":
        return content.strip()
    if message.get("tool_calls"):
        return ""
    return content.rpartition(_AFTER_THINKING)[2].strip()


def _end_of(text: str, words: str, at: int) -> int | None:
    """Where the words end, written as they are or as JSON has them; None where they are not."""
    for spelled in (words, json.dumps(words, ensure_ascii=False)[1:-1], json.dumps(words)[1:-1]):
        found = text.find(spelled, at)
        if found >= 0:
            return found + len(spelled)
    return None


_Messages = list[dict[str, Any]]
_Way = Callable[[_Messages], _Messages]


def _ways(ways: list[_Way], is_worth_it: bool) -> list[_Way]:
    return ways if is_worth_it else ways[:1]


def _any(messages: Sequence[ChatMessage], field: str) -> bool:
    return any(message.get(field) for message in messages)


def _as_it_is(messages: _Messages) -> _Messages:
    return messages


def _with_parts(messages: _Messages) -> _Messages:
    """For templates that look for the parts of a content."""
    return [
        {**one, "content": [{"type": "text", "text": one.get("content") or ""}]} for one in messages
    ]


def _with_empty_content(messages: _Messages) -> _Messages:
    """For templates that take every content for a text."""
    return [{**one, "content": one.get("content") or ""} for one in messages]


def _with_read_arguments(messages: _Messages) -> _Messages:
    """Most templates write the arguments of a call as JSON themselves; OpenAI's are a text."""
    return [_each_call(message, _read_arguments) for message in messages]


def _with_short_ids(messages: _Messages) -> _Messages:
    """Mistral's templates take ids of nine letters and digits only."""
    ids: dict[str, str] = {}

    def short(identity: str) -> str:
        return ids.setdefault(identity, f"call{len(ids):05}")

    renamed = [_each_call(one, lambda call: {**call, "id": short(call["id"])}) for one in messages]
    for message in renamed:
        if "tool_call_id" in message:
            message["tool_call_id"] = short(message["tool_call_id"])
    return renamed


def _each_call(
    message: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    calls = message.get("tool_calls")
    return {**message, "tool_calls": [change(call) for call in calls]} if calls else message


def _read_arguments(call: dict[str, Any]) -> dict[str, Any]:
    try:
        arguments = json.loads(call["function"]["arguments"] or "{}")
    except (ValueError, RecursionError):
        return call  # what a model wrote is not always JSON
    return {**call, "function": {**call["function"], "arguments": arguments}}


def _gathered(messages: _Messages) -> _Messages:
    """One system message, at the beginning."""
    system, rest = _apart(messages)
    return [{"role": "system", "content": system}, *rest] if system else rest


def _folded(messages: _Messages) -> _Messages:
    """No system message; what they said is the beginning of the user's first one."""
    system, rest = _apart(messages)
    for message in rest:
        if system and message["role"] == "user":
            message["content"] = f"{system}\n\n{message['content']}"
            break
    return rest


def _apart(messages: _Messages) -> tuple[str, _Messages]:
    """What the system messages say, and copies of the others."""
    system = [message["content"] for message in messages if message["role"] == "system"]
    rest = [dict(message) for message in messages if message["role"] != "system"]
    return "\n\n".join(system).strip(), rest


def _has_neighbours(messages: Sequence[ChatMessage]) -> bool:
    """Whether two that speak one after the other may be one, also when no system is between."""
    roles = [message["role"] for message in messages if message["role"] != "system"]
    return any(one == other for one, other in itertools.pairwise(roles))


def _merged(messages: _Messages) -> _Messages:
    """Neighbours with one role as one message, for templates in which roles alternate."""
    merged: _Messages = []
    for message in messages:
        if merged and _may_be_one(merged[-1], message):
            merged[-1]["content"] = f"{merged[-1]['content']}\n\n{message['content']}".strip()
        else:
            merged.append(dict(message))
    return merged


def _may_be_one(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return (
        one["role"] == other["role"]
        and one["role"] in ("user", "assistant")
        and not (one.get("tool_calls") or other.get("tool_calls"))
    )
