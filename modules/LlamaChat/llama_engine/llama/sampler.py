"""One request's sampler: llama.cpp's chain, and what the reply is held to beside it.

Invariant: a token that the constraint refuses is never accepted. It looks at the sampled token
alone; only if it refuses is it asked about the whole vocabulary, and a token is sampled again.
"""

from __future__ import annotations

import secrets
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from llama_engine.errors import GenerationError
from llama_engine.llama.candidates import Candidates
from llama_engine.llama.context import Context
from llama_engine.llama.model import Model
from llama_engine.text.constraint import Constraint
from llama_engine.text.sampling import MOST_SEED, SamplingParams

_MIROSTAT_WINDOW = 100
_MIN_KEPT = 1


class Sampler:
    """Chooses the next token of one request. Free it once."""

    def __init__(
        self, model: Model, params: SamplingParams, constraint: Constraint | None = None
    ) -> None:
        self._model = model
        self._constraint = constraint
        self._chain = _chain(model, params)
        self._is_argmax = params.is_greedy and constraint is None and not _adjusts(params)
        """Whether the likeliest token is the answer: found ten times faster than by a chain, which
        first writes the whole vocabulary down as candidates."""

    @property
    def chain(self) -> Any:
        """llama.cpp's sampler chain, without the constraint."""
        return self._chain

    def free(self) -> None:
        chain, self._chain = self._chain, None
        constraint, self._constraint = self._constraint, None
        if chain is not None:
            llama_cpp.llama_sampler_free(chain)
        if constraint is not None:
            constraint.free()

    def sample(self, context: Context, row: int, candidates: Candidates) -> int:
        """Choose and accept the token that follows a row of the last batch.

        Raises GenerationError where the constraint can be kept by no token.
        """
        if self._is_argmax:
            return int(context.logits(row).argmax())
        if self._constraint is None:
            return int(llama_cpp.llama_sampler_sample(self._chain, context.handle, row))
        logits = context.logits(row)
        token = self._choose(logits, candidates)
        if token < 0 or not self._constraint.allows(token):
            token = self._choose_allowed(self._constraint, logits, candidates)
        llama_cpp.llama_sampler_accept(self._chain, token)
        if not self._model.is_end(token):
            self._constraint.accept(token)
        return token

    def _choose(self, logits: NDArray[np.float32], candidates: Candidates) -> int:
        llama_cpp.llama_sampler_apply(self._chain, candidates.fill(logits))
        return candidates.selected

    def _choose_allowed(
        self, constraint: Constraint, logits: NDArray[np.float32], candidates: Candidates
    ) -> int:
        allowed = constraint.restrict(logits)
        best = int(allowed.argmax())
        if np.isneginf(allowed[best]):
            raise GenerationError("No token of the model continues the grammar")
        token = self._choose(allowed, candidates)
        # Rounding may let a sampler pick the last of its candidates, though its chance is zero.
        return token if token >= 0 and constraint.allows(token) else best


def _chain(model: Model, params: SamplingParams) -> Any:
    """Bias and penalties, then truncation, then temperature, then the choice."""
    settings = llama_cpp.llama_sampler_chain_default_params()
    settings.no_perf = True
    chain = llama_cpp.llama_sampler_chain_init(settings)
    for part in (*_adjusting(model, params), *_choosing(model, params)):
        llama_cpp.llama_sampler_chain_add(chain, part)
    return chain


def _adjusts(params: SamplingParams) -> bool:
    return bool(params.logit_bias) or params.has_penalties


def _adjusting(model: Model, params: SamplingParams) -> list[Any]:
    parts: list[Any] = []
    if params.logit_bias:
        biases = (llama_cpp.llama_logit_bias * len(params.logit_bias))(
            *(llama_cpp.llama_logit_bias(*each) for each in params.logit_bias.items())
        )
        parts.append(
            llama_cpp.llama_sampler_init_logit_bias(model.vocab_tokens, len(biases), biases)
        )
    if params.has_penalties:
        parts.append(
            llama_cpp.llama_sampler_init_penalties(
                model.vocab_tokens,
                params.penalty_tokens,
                params.repeat_penalty,
                params.frequency_penalty,
                params.presence_penalty,
            )
        )
    return parts


def _choosing(model: Model, params: SamplingParams) -> list[Any]:
    if params.is_greedy:
        return [llama_cpp.llama_sampler_init_greedy()]
    seed = secrets.randbelow(MOST_SEED) if params.seed is None else params.seed
    if params.mirostat:
        return [
            llama_cpp.llama_sampler_init_temp(params.temperature),
            _mirostat(model, params, seed),
        ]
    return [
        *_truncating(params),
        llama_cpp.llama_sampler_init_temp(params.temperature),
        llama_cpp.llama_sampler_init_dist(seed),
    ]


def _truncating(params: SamplingParams) -> list[Any]:
    parts: list[Any] = []
    if params.top_k > 0:
        parts.append(llama_cpp.llama_sampler_init_top_k(params.top_k))
    if params.typical_p < 1:
        parts.append(llama_cpp.llama_sampler_init_typical(params.typical_p, _MIN_KEPT))
    if params.top_p < 1:
        parts.append(llama_cpp.llama_sampler_init_top_p(params.top_p, _MIN_KEPT))
    if params.min_p > 0:
        parts.append(llama_cpp.llama_sampler_init_min_p(params.min_p, _MIN_KEPT))
    return parts


def _mirostat(model: Model, params: SamplingParams, seed: int) -> Any:
    tau, eta = params.mirostat_tau, params.mirostat_eta
    if params.mirostat == 2:
        return llama_cpp.llama_sampler_init_mirostat_v2(seed, tau, eta)
    return llama_cpp.llama_sampler_init_mirostat(
        model.vocab_tokens, seed, tau, eta, _MIROSTAT_WINDOW
    )
