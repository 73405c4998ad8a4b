"""Sizes of weights, part by part."""

from __future__ import annotations

from pathlib import Path

from llama_engine.gguf.header import read_header
from llama_engine.gguf.weight_sizes import WeightSizes


def test_each_tensor_counts_once(model_dir: Path, root_path: Path) -> None:
    for path in (model_dir / "tiny.gguf", root_path / "models" / "guide.gguf"):
        header = read_header(path)
        sizes = header.weights
        assert len(sizes.layers) == header.number("block_count")
        weights = sum(sizes.layers) + sizes.input + sizes.output
        assert 0.8 * header.file_bytes < weights < header.file_bytes


def test_embeddings_that_are_the_output_too() -> None:
    tied = WeightSizes.of({"token_embd.weight": 70, "output_norm.weight": 2, "blk.1.attn_q": 5})
    assert tied == WeightSizes((0, 5), input=70, output=2, tied=70)
    apart = WeightSizes.of({"token_embd.weight": 70, "output.weight": 71})
    assert apart == WeightSizes((), input=70, output=71, tied=0)
