"""Chat templates as llama-cpp-python renders them: Jinja in its sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llama_cpp import llama_chat_format

CHATML = llama_chat_format.CHATML_CHAT_TEMPLATE
"""For models without a template of their own."""

Formatter = Callable[[Sequence[Mapping[str, Any]]], str]
"""From messages to the prompt's text. Raises what the template raises."""


def chat_formatter(template: str, bos_text: str, eos_text: str) -> Formatter:
    """The template as a function."""
    formatter: Any = llama_chat_format.Jinja2ChatFormatter(
        template=template, eos_token=eos_text, bos_token=bos_text
    )
    return lambda messages: str(formatter(messages=[dict(each) for each in messages]).prompt)
