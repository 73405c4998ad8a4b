"""The model's own chat template, and what to do with templates that know no system role.

Invariant: no system message is lost. It stays where the template keeps it; a template that refuses
system messages or leaves one out gets them together at the beginning, and if that does not help at
the head of the first user message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from llama_cpp import llama_chat_format

from llama_engine.chat.chat_backend import ChatMessage

logger = logging.getLogger(__name__)

Render = Callable[[Sequence[ChatMessage]], str]


class PromptTemplate:
    """Turns messages into the text that the model was trained on."""

    def __init__(self, template: str | None, bos_text: str, eos_text: str, add_bos: bool) -> None:
        if template is None:
            logger.warning("The model has no chat template: ChatML is used, which it may not know")
            template = llama_chat_format.CHATML_CHAT_TEMPLATE
        formatter = llama_chat_format.Jinja2ChatFormatter(
            template=template, eos_token=eos_text, bos_token=bos_text
        )
        self._formatter: Any = formatter
        self._leading = bos_text if add_bos else ""

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """The prompt's text, special tokens spelled out and the start token included.

        Raises ValueError where the template refuses the messages.
        """
        text = render_with_system(self._apply, messages)
        return text if text.startswith(self._leading) else self._leading + text

    def _apply(self, messages: Sequence[ChatMessage]) -> str:
        return str(self._formatter(messages=[dict(message) for message in messages]).prompt)


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
