"""What an engine has done since it was started."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class EngineCounts:
    """Running totals. Written by the engine's thread, read by any."""

    evaluated_tokens: int = 0
    """Prompt tokens and reply tokens that went through the model."""
    cached_tokens: int = 0
    """Prompt tokens that did not have to."""
    sampled_tokens: int = 0
    finished: int = 0
    stepped_back: int = 0
    failed_decodes: int = 0
    moved: int = 0
    """Sequences moved to a neighbouring stream."""

    def as_status(self) -> dict[str, int]:
        """The totals under the names of the wire."""
        return {
            "evaluatedTokens": self.evaluated_tokens,
            "cachedTokens": self.cached_tokens,
            "sampledTokens": self.sampled_tokens,
            "steppedBack": self.stepped_back,
            "failedDecodes": self.failed_decodes,
        }
