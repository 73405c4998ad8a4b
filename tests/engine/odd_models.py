"""Random-weight models whose memory cannot be cut: a recurrent one, and a sliding window."""

from __future__ import annotations

from collections.abc import Sequence
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


def write_recurrent(path: Path) -> Path:
    """A Mamba: one state for each sequence, in which no token can be taken back."""
    inner, state, rank, kernel = 2 * WIDTH, 8, 4, 4
    writer = _Writer(path, "mamba")
    writer.gguf.add_ssm_conv_kernel(kernel)
    writer.gguf.add_ssm_inner_size(inner)
    writer.gguf.add_ssm_state_size(state)
    writer.gguf.add_ssm_time_step_rank(rank)
    for layer in range(2):
        name = f"blk.{layer}."
        writer.vector(name + "attn_norm.weight", WIDTH)
        writer.matrix(name + "ssm_in", 2 * inner, WIDTH)
        writer.matrix(name + "ssm_conv1d", inner, kernel)
        writer.vector(name + "ssm_conv1d.bias", inner, 0.1)
        writer.matrix(name + "ssm_x", rank + 2 * state, inner)
        writer.matrix(name + "ssm_dt", inner, rank)
        writer.vector(name + "ssm_dt.bias", inner, 0.1)
        writer.gguf.add_tensor(
            name + "ssm_a", -np.tile(np.arange(1, state + 1, dtype=np.float32), (inner, 1))
        )
        writer.vector(name + "ssm_d", inner)
        writer.matrix(name + "ssm_out", WIDTH, inner)
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
