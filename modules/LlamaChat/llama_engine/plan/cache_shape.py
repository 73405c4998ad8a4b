"""What a model's KV cells are made of.

Invariant: an upper bound of what llama.cpp allocates. `None` where the header does not say; then
the loaded model does.
"""

from __future__ import annotations

from dataclasses import dataclass

from llama_engine.gguf.header import GgufHeader
from llama_engine.options import CACHE_TYPES, EngineOptions


@dataclass(frozen=True)
class CacheShape:
    """Values of a cell in each layer; a layer without attention has none."""

    key_values: tuple[int, ...]
    value_values: tuple[int, ...]

    def layer_bytes(self, options: EngineOptions) -> list[float]:
        """Size of one cell in each layer, with the cache types of the options."""
        key_bytes = CACHE_TYPES[options.key_cache_type][1]
        value_bytes = CACHE_TYPES[options.value_cache_type][1]
        pairs = zip(self.key_values, self.value_values, strict=True)
        return [keys * key_bytes + values * value_bytes for keys, values in pairs]


def shape_in_header(header: GgufHeader) -> CacheShape | None:
    """From the header's numbers, which may differ by layer."""
    layers = header.number("block_count")
    heads = _by_layer(header, "attention.head_count", layers)
    if not layers or heads is None:
        return None
    most = max(heads)
    size = header.number("embedding_length") // most if most else 0
    kv_heads = _by_layer(header, "attention.head_count_kv", layers) or heads
    # Qwen3-Next and its like: every so many layers have attention, the others a state.
    interval = header.number("full_attention_interval", 1) or 1
    has_cells = [(at + 1) % interval == 0 for at in range(layers)]
    counts = [count * has for count, has in zip(kv_heads, has_cells, strict=True)]
    return shape_of(
        counts,
        header.number("attention.key_length", size),
        header.number("attention.value_length", size),
    )


def state_bytes(header: GgufHeader) -> int:
    """What a layer with a state keeps of each sequence, in 32-bit floats; 0 without such layers."""
    inner, size = header.number("ssm.inner_size"), header.number("ssm.state_size")
    groups = header.number("ssm.group_count")
    window = max(0, header.number("ssm.conv_kernel") - 1) * (inner + 2 * groups * size)
    return 4 * (inner * size + window)


def shape_of(kv_heads: list[int], key_size: int, value_size: int) -> CacheShape:
    """From the number of heads with keys and values in each layer, and their sizes."""
    return CacheShape(
        tuple(count * key_size for count in kv_heads),
        tuple(count * value_size for count in kv_heads),
    )


def _by_layer(header: GgufHeader, key: str, layers: int) -> list[int] | None:
    """A number for each layer; None where the header has neither one nor as many as layers."""
    found = header.per_layer(key)
    if found is not None:
        return found if len(found) == layers else None
    number = header.number(key, -1)
    return None if number < 0 else [number] * layers
