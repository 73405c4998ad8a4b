"""The model's own chat template, applied to one request's messages.

Invariant: whatever a template does with the messages, an error of it belongs to that request.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from llama_engine.chat.chat_backend import ChatMessage
from llama_engine.chat.system_messages import render_with_system
from llama_engine.errors import TemplateError
from llama_engine.llama.chat_format import CHATML, chat_formatter

logger = logging.getLogger(__name__)


class ChatTemplate:
    """Turns messages into the text that the model was trained on."""

    def __init__(self, template: str | None, bos_text: str, eos_text: str, add_bos: bool) -> None:
        if template is None:
            logger.warning("The model has no chat template: ChatML is used, which it may not know")
            template = CHATML
        self._format = chat_formatter(template, bos_text, eos_text)
        self._leading = bos_text if add_bos else ""

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """The prompt's text, special tokens spelled out and the start token included.

        Raises TemplateError where the template refuses the messages.
        """
        try:
            text = render_with_system(self._format, messages)
        except Exception as ex:
            # A template is a program of the model's: it raises what it likes.
            raise TemplateError(f"The model's chat template refuses the messages: {ex}") from ex
        return text if text.startswith(self._leading) else self._leading + text
