"""Write a random-weight GGUF of any shape: slow, long or large replies without a download.

Invariant: such a model never ends a reply by itself. Channel 0 of the residual stream is a
positive constant (set by every token's embedding, written by no layer); the output rows of the
special tokens and of the 256 single bytes read it with a large negative weight, all others not at
all. So a reply runs to its `max_tokens` at any temperature, in printable ASCII pseudo-words.

The tokenizer knows every pseudo-word as one token: `filler_text(n)` has n tokens (the first word,
which has no space before it, may take two or three).
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf.quants import quantize
from numpy.typing import NDArray

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n'"
    " + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONSTANT = 2.0
"""Value of channel 0 in every token's embedding."""
DAMPING = -100.0
"""Weight of channel 0 in the output rows of tokens that must not be sampled."""
POOL_VALUES = 1 << 24
"""Random values that are drawn once and reused from varying places: drawing is the slow part."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ModelShape:
    """What to write. The default is about half a billion parameters.

    `width` and `ffn` are multiples of 32 where `quantisation` is Q8_0 or Q4_0, `width` is an even
    multiple of `heads` and `heads` one of `kv_heads`; `vocab_tokens` counts 256 bytes and 3 special
    tokens too.
    """

    layers: int = 24
    width: int = 896
    ffn: int = 4864
    heads: int = 14
    kv_heads: int = 2
    vocab_tokens: int = 150_000
    context_tokens: int = 32_768
    quantisation: str = "Q4_0"
    architecture: str = "qwen2"
    seed: int = 0

    def check(self) -> None:
        """Raise ValueError if no model can have this shape."""
        _require(self.architecture in ("llama", "qwen2"), "architecture llama or qwen2", self)
        _require(self.quantisation in _TYPES, f"quantisation one of {', '.join(_TYPES)}", self)
        _require(min(self.layers, self.ffn, self.context_tokens) > 0, "positive sizes", self)
        _require(self.width % (2 * self.heads) == 0, "width an even multiple of heads", self)
        _require(self.heads % self.kv_heads == 0, "heads a multiple of kv_heads", self)
        _require(self.vocab_tokens > _FIRST_FILLER + 100, "vocab_tokens of at least 360", self)
        if self.quantisation in ("Q8_0", "Q4_0"):
            in_blocks = self.width % 32 == 0 and self.ffn % 32 == 0
            _require(in_blocks, "width and ffn multiples of 32 for Q8_0 and Q4_0", self)


PRESETS: dict[str, ModelShape] = {
    "tiny": ModelShape(2, 64, 128, 4, 2, 1_000, 2_048, "F16"),
    "slow": ModelShape(12, 512, 2_048, 8, 8, 4_000, 4_096, "F16"),
    "half-billion": ModelShape(),
}

_FIRST_FILLER = 256 + len(SPECIAL_TOKENS)
_TYPES = {name: getattr(gguf.GGMLQuantizationType, name) for name in ("F32", "F16", "Q8_0", "Q4_0")}
_FILE_TYPES = {
    "F32": gguf.LlamaFileType.ALL_F32,
    "F16": gguf.LlamaFileType.MOSTLY_F16,
    "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
}


def make_model(path: str | Path, **shape: Any) -> Path:
    """Write a model; `shape` are fields of `ModelShape`. Returns the path.

    Raises ValueError for a shape that no model can have, TypeError for an unknown field.
    """
    return write_model(Path(path), ModelShape(**shape))


def write_model(path: Path, shape: ModelShape, shard_tensors: int = 0) -> Path:
    """Write the model of that shape to `path`, replacing what is there.

    With `shard_tensors` it has several files of so many tensors each, `name-00001-of-00003.gguf`
    for `name.gguf`.
    """
    shape.check()
    writer = gguf.GGUFWriter(path, shape.architecture, split_max_tensors=shard_tensors)
    _add_metadata(writer, shape)
    _add_tokenizer(writer, shape)
    weights = _Weights(writer, shape)
    _add_embeddings(weights, shape)
    for layer in range(shape.layers):
        _add_layer(weights, shape, f"blk.{layer}.")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def filler_text(tokens: int, seed: int = 0) -> str:
    """Text of about that many tokens, made of words that every model written here knows."""
    words = [word.strip() for word in itertools.islice(_filler_words(), 100)]
    picks = np.random.default_rng(seed).integers(0, len(words), tokens)
    return " ".join(words[pick] for pick in picks)


class _Weights:
    """Hands tensors to the writer: random ones from one pool, quantised where they are matrices."""

    def __init__(self, writer: gguf.GGUFWriter, shape: ModelShape) -> None:
        self._writer = writer
        self._type = _TYPES[shape.quantisation]
        self._random = np.random.default_rng(shape.seed)
        largest = max(shape.vocab_tokens, shape.ffn) * shape.width
        values = min(POOL_VALUES, largest)
        self._pool = self._random.standard_normal(values, dtype=np.float32)

    def random(self, rows: int, columns: int, scale: float) -> Floats:
        """A matrix of normal values with that standard deviation."""
        values = np.empty(rows * columns, np.float32)
        at, start = 0, int(self._random.integers(0, len(self._pool)))
        while at < values.size:
            part = self._pool[start : start + values.size - at]
            np.multiply(part, np.float32(scale), out=values[at : at + part.size])
            at, start = at + part.size, 0
        return values.reshape(rows, columns)

    def add_matrix(self, name: str, values: Floats) -> None:
        packed = quantize(values, self._type)
        self._writer.add_tensor(name + ".weight", packed, raw_dtype=self._type)

    def add_vector(self, name: str, values: Floats) -> None:
        self._writer.add_tensor(name, values)


def _add_embeddings(weights: _Weights, shape: ModelShape) -> None:
    embedding = weights.random(shape.vocab_tokens, shape.width, 1.0)
    embedding[:, 0] = CONSTANT
    weights.add_matrix("token_embd", embedding)
    output = weights.random(shape.vocab_tokens, shape.width, 4.0 * shape.width**-0.5)
    output[:, 0] = 0.0
    output[:_FIRST_FILLER] = 0.0
    output[:_FIRST_FILLER, 0] = DAMPING
    weights.add_matrix("output", output)
    weights.add_vector("output_norm.weight", np.ones(shape.width, np.float32))


def _add_layer(weights: _Weights, shape: ModelShape, prefix: str) -> None:
    width, kv_width = shape.width, shape.width // shape.heads * shape.kv_heads
    inward, outward = width**-0.5, (2 * shape.layers) ** -0.5
    for name, rows in (("attn_q", width), ("attn_k", kv_width), ("attn_v", kv_width)):
        weights.add_matrix(prefix + name, weights.random(rows, width, inward))
        if shape.architecture == "qwen2":
            weights.add_vector(f"{prefix}{name}.bias", np.zeros(rows, np.float32))
    for name in ("ffn_gate", "ffn_up"):
        weights.add_matrix(prefix + name, weights.random(shape.ffn, width, inward))
    for name, columns in (("attn_output", width), ("ffn_down", shape.ffn)):
        matrix = weights.random(width, columns, outward * columns**-0.5)
        matrix[0] = 0.0
        weights.add_matrix(prefix + name, matrix)
    for name in ("attn_norm", "ffn_norm"):
        weights.add_vector(f"{prefix}{name}.weight", np.ones(width, np.float32))


def _add_metadata(writer: gguf.GGUFWriter, shape: ModelShape) -> None:
    writer.add_name(f"random weights {shape.layers}x{shape.width}")
    writer.add_file_type(_FILE_TYPES[shape.quantisation])
    writer.add_context_length(shape.context_tokens)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_vocab_size(shape.vocab_tokens)


def _add_tokenizer(writer: gguf.GGUFWriter, shape: ModelShape) -> None:
    count = shape.vocab_tokens - _FIRST_FILLER
    words = [word.replace(" ", "Ġ") for word in itertools.islice(_filler_words(), count)]
    tokens = [*SPECIAL_TOKENS, *_byte_characters(), *words]
    special, normal = int(gguf.TokenType.CONTROL), int(gguf.TokenType.NORMAL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([special] * len(SPECIAL_TOKENS) + [normal] * (256 + count))
    writer.add_token_merges(list(_merges(words)))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_pad_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _syllables() -> list[str]:
    return [a + b for b in "aeiou" for a in "bcdfghjklmnpqrstvwyz"]


def _filler_words() -> Iterator[str]:
    """The 100 syllables, then words of one, two, three... syllables, each with its space."""
    yield from _syllables()
    for length in itertools.count(1):
        for parts in itertools.product(_syllables(), repeat=length):
            yield " " + "".join(parts)


def _merges(words: list[str]) -> Iterator[str]:
    """How BPE gets to each word: a syllable from two letters, a word by its last syllable."""
    for word in words:
        at = -2 if len(word) > 2 else -1
        yield f"{word[:at]} {word[at:]}"


def _byte_characters() -> list[str]:
    """GPT-2's printable stand-in for each byte, in the order of the bytes."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    stand_in = itertools.count(256)
    return [chr(byte if byte in printable else next(stand_in)) for byte in range(256)]


def _require(is_met: bool, expected: str, shape: ModelShape) -> None:
    if not is_met:
        raise ValueError(f"expected {expected}, got {shape}")


def main() -> None:
    """Command line: a preset, and any field of it changed."""
    parser = argparse.ArgumentParser(description="Write a random-weight GGUF of any shape.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--preset", choices=list(PRESETS), default="half-billion")
    for field in fields(ModelShape):
        kind = int if isinstance(field.default, int) else str
        parser.add_argument("--" + field.name.replace("_", "-"), type=kind)
    options = vars(parser.parse_args())
    path, preset = options.pop("path"), PRESETS[options.pop("preset")]
    changes = {name: value for name, value in options.items() if value is not None}
    write_model(path, ModelShape(**{**asdict(preset), **changes}))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
