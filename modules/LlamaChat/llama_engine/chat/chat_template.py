"""The model's own chat template, applied to one request's messages.

Invariant: whatever a template does with the messages, an error of it belongs to that request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llama_engine.errors import TemplateError

Render = Callable[[Sequence[Any]], str]
"""From messages to the prompt's text, special tokens spelled out, the start token included."""


def render_messages(render: Render, messages: Sequence[Any]) -> str:
    """The prompt's text. Raises TemplateError."""
    try:
        return render(messages)
    except Exception as ex:
        # A template is a program of the model's: it raises what it likes.
        raise TemplateError(f"The model's chat template refuses the messages: {ex}") from ex
