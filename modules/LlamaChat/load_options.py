"""How to load a model: plain values, known to whoever loads and to whoever asks for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LoadOptions:
    """`context_tokens` 0 is the model's own, `gpu_layers` -1 all, `threads` 0 physical cores."""

    context_tokens: int = 0
    gpu_layers: int = -1
    threads: int = 0
    verbose: bool = False
