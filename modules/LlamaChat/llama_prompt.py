"""The model's own chat template, and what to do with templates that know no system role.

Invariant: the system prompt is never lost: a template that refuses it or leaves it out gets it at
the head of the first user message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from chat_backend import ChatMessage
from llama_cpp import llama_chat_format

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
    """Apply a template, folding the system prompt into the user's where it has no place."""
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system").strip()
    if not system:
        return apply(messages)
    try:
        text = apply(messages)
    except Exception as ex:
        # Templates refuse with an error of their own, and older ones with any of Jinja's.
        logger.debug("The chat template refused a system message: %s", ex)
    else:
        if system in text:
            return text
    return apply(_folded(messages, system))


def _folded(messages: Sequence[ChatMessage], system: str) -> list[ChatMessage]:
    rest = [ChatMessage(**message) for message in messages if message["role"] != "system"]
    for message in rest:
        if message["role"] == "user":
            message["content"] = f"{system}\n\n{message['content']}"
            break
    return rest
