"""What to do with chat templates that know no system role.

Invariant: no system message is lost. It stays where the template keeps it; a template that refuses
system messages or leaves one out gets them together at the beginning, and if that does not help at
the head of the first user message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from llama_engine.chat.chat_backend import ChatMessage

logger = logging.getLogger(__name__)

Render = Callable[[Sequence[ChatMessage]], str]


def render_with_system(apply: Render, messages: Sequence[ChatMessage]) -> str:
    """Apply a template in the first way that keeps every system message.

    Raises what the template raises, if the last way does not work either.
    """
    for arranged in (messages, _gathered(messages)):
        try:
            text = apply(arranged)
        except Exception as ex:
            # Templates refuse with an error of their own, and older ones with any of Jinja's.
            logger.debug("The chat template refused a system message: %s", ex)
        else:
            if _keeps_system(text, messages):
                return text
    return apply(_folded(messages))


def _keeps_system(text: str, messages: Sequence[ChatMessage]) -> bool:
    """Whether each system message is there as often as all messages together have it."""
    wanted = [message["content"].strip() for message in messages if message["role"] == "system"]
    everything = "\n".join(message["content"] for message in messages)
    return all(text.count(system) >= everything.count(system) for system in wanted if system)


def _gathered(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """One system message, at the beginning."""
    system, rest = _apart(messages)
    return [ChatMessage(role="system", content=system), *rest] if system else rest


def _folded(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """No system message; what they said is the beginning of the user's first one."""
    system, rest = _apart(messages)
    for message in rest:
        if system and message["role"] == "user":
            message["content"] = f"{system}\n\n{message['content']}"
            break
    return rest


def _apart(messages: Sequence[ChatMessage]) -> tuple[str, list[ChatMessage]]:
    """What the system messages say, and copies of the others."""
    system = [message["content"] for message in messages if message["role"] == "system"]
    rest = [ChatMessage(**message) for message in messages if message["role"] != "system"]
    return "\n\n".join(system).strip(), rest
