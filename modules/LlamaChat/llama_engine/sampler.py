"""One request's sampler: llama.cpp's chain, and a grammar beside it.

Invariant: a token that the grammar refuses is never accepted (llama.cpp would end the process).
The grammar looks at the sampled token alone; only if it refuses is it applied to the whole
vocabulary, which takes tens of milliseconds, and a token is sampled again.
"""

from __future__ import annotations

import ctypes
import secrets
from typing import Any, cast

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from llama_engine.context import Context
from llama_engine.errors import GenerationError, GrammarError
from llama_engine.model import Model
from llama_engine.sampling import MOST_SEED, SamplingParams

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
_MIROSTAT_WINDOW = 100
_MIN_KEPT = 1


class Candidates:
    """Tokens with their logits, as llama.cpp's samplers take them. One buffer for all requests."""

    def __init__(self, count: int) -> None:
        self._ids = np.arange(count, dtype=np.int32)
        self._values = np.zeros(count, _CANDIDATE)
        self._array = llama_cpp.llama_token_data_array()

    def fill(self, logits: NDArray[np.float32]) -> Any:
        """All tokens; returns the pointer to hand to a sampler."""
        self._values["id"] = self._ids
        self._values["logit"] = logits
        self._values["p"] = 0
        return self._point(len(self._values))

    def fill_one(self, token: int) -> Any:
        """A single token."""
        self._values[0] = (token, 1.0, 0.0)
        return self._point(1)

    @property
    def is_refused(self) -> bool:
        """Whether the first one was ruled out."""
        return bool(np.isneginf(self._values["logit"][0]))

    @property
    def allowed_logits(self) -> NDArray[np.float32]:
        """The logits as a sampler left them, in the tokens' order if nothing sorted them."""
        return np.asarray(self._values["logit"])

    @property
    def selected(self) -> int:
        """The token that the last sampler of a chain chose; -1 for none."""
        at = int(self._array.selected)
        return int(self._array.data[at].id) if 0 <= at < int(self._array.size) else -1

    def _point(self, count: int) -> Any:
        data = ctypes.cast(self._values.ctypes.data, llama_cpp.llama_token_data_p)
        self._array.data, self._array.size = cast(Any, data), count
        self._array.selected, self._array.sorted = -1, False
        return ctypes.byref(self._array)


class Sampler:
    """Chooses the next token of one request. Free it once."""

    def __init__(self, model: Model, params: SamplingParams, grammar: str | None = None) -> None:
        self._model = model
        self._grammar = _grammar(model, grammar) if grammar is not None else None
        self._chain = _chain(model, params)
        self._is_argmax = params.is_greedy and grammar is None and not _adjusts(params)
        """Whether the likeliest token is the answer: found ten times faster than by a chain, which
        first writes the whole vocabulary down as candidates."""

    @property
    def chain(self) -> Any:
        """llama.cpp's sampler chain, without the grammar."""
        return self._chain

    def free(self) -> None:
        chain, self._chain = self._chain, None
        grammar, self._grammar = self._grammar, None
        for handle in (chain, grammar):
            if handle is not None:
                llama_cpp.llama_sampler_free(handle)

    def sample(self, context: Context, row: int, candidates: Candidates) -> int:
        """Choose and accept the token that follows a row of the last batch.

        Raises GenerationError where the grammar can be continued by no token.
        """
        if self._is_argmax:
            return int(context.logits(row).argmax())
        if self._grammar is None:
            return int(llama_cpp.llama_sampler_sample(self._chain, context.handle, row))
        logits = context.logits(row)
        token = self._choose(candidates.fill(logits), candidates)
        if not self._is_allowed(token, candidates):
            token = self._choose_allowed(logits, candidates)
        self._accept(token)
        return token

    def _choose(self, pointer: Any, candidates: Candidates) -> int:
        llama_cpp.llama_sampler_apply(self._chain, pointer)
        return candidates.selected

    def _choose_allowed(self, logits: NDArray[np.float32], candidates: Candidates) -> int:
        pointer = candidates.fill(logits)
        llama_cpp.llama_sampler_apply(self._grammar, pointer)
        allowed = candidates.allowed_logits.copy()
        best = int(allowed.argmax())
        if np.isneginf(allowed[best]):
            raise GenerationError("No token of the model continues the grammar")
        token = self._choose(pointer, candidates)
        # Rounding may let a sampler pick the last of its candidates, though its chance is zero.
        return token if self._is_allowed(token, candidates) else best

    def _is_allowed(self, token: int, candidates: Candidates) -> bool:
        if token < 0:
            return False
        llama_cpp.llama_sampler_apply(self._grammar, candidates.fill_one(token))
        return not candidates.is_refused

    def _accept(self, token: int) -> None:
        llama_cpp.llama_sampler_accept(self._chain, token)
        if not self._model.is_end(token):
            llama_cpp.llama_sampler_accept(self._grammar, token)


def _grammar(model: Model, text: str) -> Any:
    handle = llama_cpp.llama_sampler_init_grammar(model.vocab, text.encode("utf-8"), b"root")
    # A grammar that does not parse gives a null pointer, which is not None.
    if not handle:
        raise GrammarError("grammar: llama.cpp cannot parse it; the log says where")
    return handle


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
