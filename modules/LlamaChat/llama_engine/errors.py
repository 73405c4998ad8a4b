"""What can go wrong with one request, told apart.

Invariant: each of these belongs to one request; nothing here ends the engine.
"""

from __future__ import annotations

_LONGEST_SHOWN = 200
"""Characters of a value that cannot be used."""


class RequestError(ValueError):
    """A request that cannot be kept. The message says what was expected and what came."""


class ParameterError(RequestError):
    """A parameter out of its range."""

    def __init__(self, name: str, expected: str, got: object) -> None:
        shown = repr(got)
        shown = shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}..."
        super().__init__(f"{name}: expected {expected}, got {shown}")
        self.name, self.expected, self.got = name, expected, got


class GrammarError(RequestError):
    """A grammar or JSON schema that cannot be kept, or would not be safe to try."""


class TemplateError(RequestError):
    """The model's chat template refuses the messages."""


class GenerationError(RuntimeError):
    """A generation that began and could not go on; the reason is llama.cpp's or the engine's."""


class EngineStoppedError(RuntimeError):
    """The engine takes no more requests."""
