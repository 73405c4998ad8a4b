"""What this room asks of a loaded model: its tokens as text."""

from __future__ import annotations

from typing import Protocol


class Vocabulary(Protocol):
    """A model's tokens, numbered from 0. May be used from any thread."""

    @property
    def vocab_tokens(self) -> int:
        """How many there are."""

    def piece(self, token: int) -> bytes:
        """The bytes of a token as they stand in a text."""

    def is_end(self, token: int) -> bool:
        """Whether the token ends a reply."""
