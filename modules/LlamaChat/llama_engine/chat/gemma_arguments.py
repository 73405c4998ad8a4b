"""The arguments of a call as Gemma's models write them: JSON whose names and texts are not quoted.

Sources: https://ai.google.dev/gemma/docs/functiongemma/formatting-and-best-practices (`<escape>`),
https://ai.google.dev/gemma/docs/core/prompt-formatting-gemma4 (`<|"|>`)
"""

from __future__ import annotations

import json
import re
from typing import Any

_TOKEN = re.compile(
    r"""<escape>(?P<old>.*?)<escape>|<\|"\|>(?P<new>.*?)<\|"\|>|(?P<quoted>"(?:[^"\\]|\\.)*")"""
    r"""|(?P<key>[A-Za-z_][\w.-]*)(?=\s*:)""",
    re.DOTALL,
)


def gemma_arguments(text: str) -> dict[str, Any] | None:
    """The arguments in their braces; None for what cannot be read."""
    try:
        value = json.loads(_TOKEN.sub(_as_json, text))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _as_json(token: re.Match[str]) -> str:
    if token["quoted"] is not None:
        return token["quoted"]
    return json.dumps(next(part for part in token.groups() if part is not None))
