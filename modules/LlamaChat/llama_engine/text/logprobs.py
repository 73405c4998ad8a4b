"""Log probabilities of sampled tokens and of what else was likely.

Invariant: these are the model's own, before temperature and every other sampler.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llama_engine.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class TokenLogprob:
    """A token of the reply with its probability before any sampler, and the best alternatives."""

    token: int
    piece: bytes
    logprob: float
    top: tuple[tuple[int, bytes, float], ...] = ()


def token_logprob(
    vocabulary: Vocabulary, logits: NDArray[np.float32], token: int, alternatives: int
) -> TokenLogprob:
    """The sampled token's log probability, with that many of the best tokens."""
    largest = float(logits.max())
    total = largest + float(np.log(np.exp(logits - largest).sum(dtype=np.float64)))
    top = tuple(
        (each, vocabulary.piece(each), float(logits[each]) - total)
        for each in _best(logits, alternatives)
    )
    return TokenLogprob(token, vocabulary.piece(token), float(logits[token]) - total, top)


def _best(logits: NDArray[np.float32], count: int) -> list[int]:
    """The tokens with the highest logits, best first."""
    count = min(count, len(logits))
    if count <= 0:
        return []
    best = np.argpartition(logits, -count)[-count:]
    return [int(token) for token in best[np.argsort(-logits[best], kind="stable")]]
