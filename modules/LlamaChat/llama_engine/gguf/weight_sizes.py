"""How large a model's weights are, part by part.

Invariant: every tensor counts once, in the part where llama.cpp puts it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LAYER = re.compile(r"blk\.(\d{1,4})\.")
_INPUT = re.compile(r"(per_layer_)?token_embd|position_embd|token_types")


@dataclass(frozen=True)
class WeightSizes:
    """Bytes of the weights by where llama.cpp puts them: layers in order, input, output."""

    layers: tuple[int, ...]
    input: int
    """Token embeddings, which stay in the host's memory."""
    output: int
    """What follows the last layer."""
    tied: int
    """Token embeddings that are the output's weights too: an accelerator has a copy of its own."""

    @classmethod
    def of(cls, tensors: dict[str, int]) -> WeightSizes:
        """From the sizes of all tensors by name."""
        layers: dict[int, int] = {}
        ends = {True: 0, False: 0}
        for name, size in tensors.items():
            match = _LAYER.match(name)
            if match:
                layers[int(match[1])] = layers.get(int(match[1]), 0) + size
            else:
                ends[bool(_INPUT.match(name))] += size
        tied = 0 if "output.weight" in tensors else tensors.get("token_embd.weight", 0)
        count = max(layers, default=-1) + 1
        return cls(tuple(layers.get(at, 0) for at in range(count)), ends[True], ends[False], tied)
