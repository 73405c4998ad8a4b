"""Pieces of a reply in OpenAI's shapes: deltas of a stream, and the message that they make.

Invariant: deltas, put together, say what the pieces say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_engine.chat.reply_parser import Piece

_FIELDS = {"reply": "content", "reasoning": "reasoning_content"}


def deltas_of(pieces: Sequence[Piece]) -> list[dict[str, Any]]:
    """One for each piece."""
    return [_delta(piece) for piece in pieces]


def _delta(piece: Piece) -> dict[str, Any]:
    if piece.channel != "tool_calls":
        return {_FIELDS[piece.channel]: piece.text}
    function = {"name": piece.name, "arguments": piece.text}
    return {"tool_calls": [{"index": piece.number, "type": "function", "function": function}]}


class WholeMessage:
    """The message of a whole completion."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {"content": []}
        self._calls: dict[int, dict[str, Any]] = {}

    def add(self, delta: dict[str, Any]) -> None:
        """Take a stream's delta."""
        for field in _FIELDS.values():
            if delta.get(field):
                self._texts.setdefault(field, []).append(delta[field])
        for call in delta.get("tool_calls", ()):
            index, function = call["index"], call["function"]
            begun = {"name": function["name"], "arguments": ""}
            call = {"id": f"call{index:05}", "type": "function", "function": begun}
            whole = self._calls.setdefault(index, call)
            whole["function"]["arguments"] += function["arguments"]

    def as_dict(self) -> dict[str, Any]:
        """In OpenAI's shape."""
        message: dict[str, Any] = {"role": "assistant"}
        message |= {field: "".join(texts) for field, texts in self._texts.items()}
        return message | ({"tool_calls": list(self._calls.values())} if self._calls else {})
