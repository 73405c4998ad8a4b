"""Random-weight models of odd shapes: memory that cannot be cut, layers that differ, no chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import gguf
import numpy as np

WIDTH, VOCAB = 32, 400
WINDOW = 32
"""Tokens that the sliding window sees."""
_RANDOM_SEED = 5


class _Writer:
    def __init__(self, path: Path, architecture: str, control: Sequence[str] = ()) -> None:
        self.gguf = gguf.GGUFWriter(path, architecture)
        self._random = np.random.default_rng(_RANDOM_SEED)
        self.gguf.add_block_count(2)
        self.gguf.add_context_length(4_096)
        self.gguf.add_embedding_length(WIDTH)
        self.gguf.add_layer_norm_rms_eps(1e-6)
        self.gguf.add_vocab_size(VOCAB)
        self._add_tokens(list(control))
        self.matrix("token_embd", VOCAB, WIDTH, scale=1.0)
        self.matrix("output", VOCAB, WIDTH, scale=1.0)
        if architecture != "t5":  # which has one on each side
            self.vector("output_norm.weight", WIDTH)

    def _add_tokens(self, control: list[str]) -> None:
        plain = [f"▁w{number}" for number in range(VOCAB - 259 - len(control))]
        single = [f"<0x{byte:02X}>" for byte in range(256)]
        tokens = ["<unk>", "<s>", "</s>", *single, *plain, *control]
        kinds = [2, 3, 3] + [6] * 256 + [1] * len(plain) + [3] * len(control)
        self.gguf.add_tokenizer_model("llama")
        self.gguf.add_token_list(tokens)
        self.gguf.add_token_scores([0.0] * VOCAB)
        self.gguf.add_token_types(kinds)

    def matrix(self, name: str, rows: int, columns: int, scale: float | None = None) -> None:
        values = self._random.standard_normal((rows, columns), dtype=np.float32)
        self.gguf.add_tensor(name + ".weight", values * np.float32(scale or columns**-0.5))

    def vector(self, name: str, size: int, value: float = 1.0) -> None:
        self.gguf.add_tensor(name, np.full(size, value, np.float32))

    def close(self) -> None:
        self.gguf.write_header_to_file()
        self.gguf.write_kv_data_to_file()
        self.gguf.write_tensors_to_file()
        self.gguf.close()


_INNER, _STATE, _RANK, _KERNEL = 2 * WIDTH, 8, 4, 4
"""Of a Mamba layer."""


def _add_mamba(writer: _Writer) -> None:
    writer.gguf.add_ssm_conv_kernel(_KERNEL)
    writer.gguf.add_ssm_inner_size(_INNER)
    writer.gguf.add_ssm_state_size(_STATE)
    writer.gguf.add_ssm_time_step_rank(_RANK)


def _add_mamba_layer(writer: _Writer, name: str) -> None:
    writer.vector(name + "attn_norm.weight", WIDTH)
    writer.matrix(name + "ssm_in", 2 * _INNER, WIDTH)
    writer.matrix(name + "ssm_conv1d", _INNER, _KERNEL)
    writer.vector(name + "ssm_conv1d.bias", _INNER, 0.1)
    writer.matrix(name + "ssm_x", _RANK + 2 * _STATE, _INNER)
    writer.matrix(name + "ssm_dt", _INNER, _RANK)
    writer.vector(name + "ssm_dt.bias", _INNER, 0.1)
    states = np.arange(1, _STATE + 1, dtype=np.float32)
    writer.gguf.add_tensor(name + "ssm_a", -np.tile(states, (_INNER, 1)))
    writer.vector(name + "ssm_d", _INNER)
    writer.matrix(name + "ssm_out", WIDTH, _INNER)


def _add_attention(writer: _Writer, name: str, kv_width: int) -> None:
    writer.vector(name + "attn_norm.weight", WIDTH)
    writer.matrix(name + "attn_q", WIDTH, WIDTH)
    writer.matrix(name + "attn_k", kv_width, WIDTH)
    writer.matrix(name + "attn_v", kv_width, WIDTH)
    writer.matrix(name + "attn_output", WIDTH, WIDTH)


def _add_ffn(writer: _Writer, name: str, ffn: int = 64) -> None:
    writer.vector(name + "ffn_norm.weight", WIDTH)
    writer.matrix(name + "ffn_gate", ffn, WIDTH)
    writer.matrix(name + "ffn_up", ffn, WIDTH)
    writer.matrix(name + "ffn_down", WIDTH, ffn)


def write_recurrent(path: Path) -> Path:
    """A Mamba: one state for each sequence, in which no token can be taken back."""
    writer = _Writer(path, "mamba")
    _add_mamba(writer)
    for layer in range(2):
        _add_mamba_layer(writer, f"blk.{layer}.")
    writer.close()
    return path


def write_hybrid(path: Path) -> Path:
    """A Jamba: a layer with a state, then one with attention."""
    writer = _Writer(path, "jamba")
    _add_mamba(writer)
    writer.gguf.add_head_count(2)
    writer.gguf.add_head_count_kv([0, 1])
    writer.gguf.add_feed_forward_length(64)
    _add_mamba_layer(writer, "blk.0.")
    for norm, size in (("dt", _RANK), ("b", _STATE), ("c", _STATE)):
        writer.vector(f"blk.0.ssm_{norm}_norm.weight", size)
    _add_attention(writer, "blk.1.", WIDTH // 2)
    for layer in range(2):
        _add_ffn(writer, f"blk.{layer}.")
    writer.close()
    return path


def write_uneven(path: Path, templates: Mapping[str, str] | None = None) -> Path:
    """A DeciLM: head counts by layer, and a layer without attention. May have chat templates."""
    writer = _Writer(path, "deci")
    if templates:
        writer.gguf.add_chat_template(
            [{"name": name, "template": text} for name, text in templates.items()]
        )
    writer.gguf.add_head_count([2, 0])
    writer.gguf.add_head_count_kv([1, 0])
    writer.gguf.add_feed_forward_length([64, 96])
    writer.gguf.add_rope_dimension_count(WIDTH // 2)
    _add_attention(writer, "blk.0.", WIDTH // 2)
    _add_ffn(writer, "blk.0.", 64)
    _add_ffn(writer, "blk.1.", 96)
    writer.close()
    return path


def write_header(path: Path, architecture: str, **metadata: bool | int | str) -> Path:
    """A file whose header says these things, and that has no layers."""
    writer = _Writer(path, architecture)
    for key, value in metadata.items():
        name = key.replace("__", ".")
        if isinstance(value, bool):
            writer.gguf.add_bool(name, value)
        elif isinstance(value, int):
            writer.gguf.add_uint32(name, value)
        else:
            writer.gguf.add_string(name, value)
    writer.close()
    return path


def write_encoder_decoder(path: Path) -> Path:
    """A T5: what it reads goes through an encoder first."""
    writer = _Writer(path, "t5")
    writer.gguf.add_head_count(2)
    writer.gguf.add_feed_forward_length(64)
    writer.gguf.add_relative_attn_buckets_count(8)
    writer.gguf.add_decoder_start_token_id(0)
    for side in ("enc", "dec"):
        writer.vector(f"{side}.output_norm.weight", WIDTH)
        for layer in range(2):
            name = f"{side}.blk.{layer}."
            writer.matrix(name + "attn_rel_b", 8, 2)
            _add_ffn(writer, name)
            for attention in ("attn", "cross_attn")[: 1 + (side == "dec")]:
                writer.vector(f"{name}{attention}_norm.weight", WIDTH)
                for part in "qkvo":
                    writer.matrix(f"{name}{attention}_{part}", WIDTH, WIDTH)
    writer.close()
    return path


def write_sliding(path: Path, control: Sequence[str] = ()) -> Path:
    """A Gemma 3: layers that see the last `WINDOW` tokens only. `control` tokens come last."""
    heads, ffn = 2, 64
    size = WIDTH // heads
    writer = _Writer(path, "gemma3", control)
    writer.gguf.add_head_count(heads)
    writer.gguf.add_head_count_kv(1)
    writer.gguf.add_key_length(size)
    writer.gguf.add_value_length(size)
    writer.gguf.add_feed_forward_length(ffn)
    writer.gguf.add_sliding_window(WINDOW)
    writer.gguf.add_rope_freq_base(10_000.0)
    for layer in range(2):
        name = f"blk.{layer}."
        for norm in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            writer.vector(f"{name}{norm}.weight", WIDTH)
        for norm in ("attn_q_norm", "attn_k_norm"):
            writer.vector(f"{name}{norm}.weight", size)
        writer.matrix(name + "attn_q", WIDTH, WIDTH)
        writer.matrix(name + "attn_k", size, WIDTH)
        writer.matrix(name + "attn_v", size, WIDTH)
        writer.matrix(name + "attn_output", WIDTH, WIDTH)
        writer.matrix(name + "ffn_gate", ffn, WIDTH)
        writer.matrix(name + "ffn_up", ffn, WIDTH)
        writer.matrix(name + "ffn_down", WIDTH, ffn)
    writer.close()
    return path
