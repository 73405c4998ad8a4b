"""The guide's network: a Llama (RMS norm, rotary positions, SwiGLU) with tied embeddings.

Invariant: names and layouts are those that `write_gguf.py` hands on to llama.cpp's `llama`
architecture, where rotary pairs are neighbouring channels.
Source: Touvron et al. 2023, "LLaMA"; Su et al. 2021, "RoFormer".
"""

# mypy: disable-error-code="import-not-found, misc"
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """Sizes of the network."""

    vocab_tokens: int
    width: int = 256
    layers: int = 4
    heads: int = 8
    ffn: int = 768
    context_tokens: int = 2048
    rope_base: float = 10_000.0
    norm_epsilon: float = 1e-5


class Guide(nn.Module):
    """Token ids (batch, length) to features (batch, length, width); `head` makes logits of them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab_tokens, shape.width)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, eps=shape.norm_epsilon)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                is_deep = name.endswith(("attn_output.weight", "ffn_down.weight"))
                depth = 2 * shape.layers if is_deep else 1
                nn.init.normal_(weight, std=(shape.width * depth) ** -0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        turns = rotations(self.shape, tokens.shape[1])
        x = self.token_embd(tokens)
        for block in self.blk:
            x = block(x, turns)
        return self.output_norm(x)

    def head(self, features: Tensor) -> Tensor:
        """Logits of the next token, from any number of features."""
        return functional.linear(features, self.token_embd.weight)


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm and around a residual."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, ffn = shape.width, shape.ffn
        self.heads = shape.heads
        self.attn_norm = nn.RMSNorm(width, eps=shape.norm_epsilon)
        self.attn_q = nn.Linear(width, width, bias=False)
        self.attn_k = nn.Linear(width, width, bias=False)
        self.attn_v = nn.Linear(width, width, bias=False)
        self.attn_output = nn.Linear(width, width, bias=False)
        self.ffn_norm = nn.RMSNorm(width, eps=shape.norm_epsilon)
        self.ffn_gate = nn.Linear(width, ffn, bias=False)
        self.ffn_up = nn.Linear(width, ffn, bias=False)
        self.ffn_down = nn.Linear(ffn, width, bias=False)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.attend(self.attn_norm(x), turns)
        h = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(h)) * self.ffn_up(h))

    def attend(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        def split(y: Tensor) -> Tensor:
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        q, k = (rotate(split(linear(x)), turns) for linear in (self.attn_q, self.attn_k))
        v = split(self.attn_v(x))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.attn_output(y.transpose(1, 2).flatten(2))


def rotations(shape: Shape, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines, each (length, head size / 2)."""
    size = shape.width // shape.heads
    speeds = shape.rope_base ** (-torch.arange(0, size, 2) / size)
    angles = torch.arange(length)[:, None] * speeds
    return angles.cos(), angles.sin()


def rotate(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each neighbouring pair of channels by its position's angle."""
    cos, sin = (part.to(x.dtype) for part in turns)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)
