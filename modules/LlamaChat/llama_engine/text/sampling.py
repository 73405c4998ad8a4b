"""What a request may ask of the sampler.

Invariant: a `SamplingParams` that `check()` lets pass is safe to hand to llama.cpp; each value out
of its range is refused by name. Defaults are those of llama-cpp-python's chat completions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from llama_engine.errors import ParameterError
from llama_engine.options import within

MOST_SEED = 2**32 - 2
"""One below llama.cpp's own "choose for me"."""
MOST_TOP_LOGPROBS = 20
MOST_BIASES = 1024
_COLDEST = 1e-3
"""Below it the most likely token is the only one left, and divisions begin to overflow."""


@dataclass(frozen=True)
class SamplingParams:
    """How the next token is chosen.

    `temperature` 0 takes the most likely one. `top_k` 0, `top_p` 1, `min_p` 0 and `typical_p` 1
    are off, as are `repeat_penalty` 1 and the other penalties at 0; penalties look at the last
    `penalty_tokens` tokens of the reply. `mirostat` 1 or 2 replaces the truncating samplers
    (https://arxiv.org/abs/2007.14966). `seed` None is a fresh one for each request.
    """

    temperature: float = 0.2
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    typical_p: float = 1.0
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    penalty_tokens: int = 64
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    seed: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)

    def check(self, vocab_tokens: int) -> None:
        """Raise ParameterError, naming the first value out of its range."""
        within("temperature", self.temperature, 0, 100)
        _whole("top_k", self.top_k, 0, 2**31 - 1)
        within("top_p", self.top_p, 0, 1)
        within("min_p", self.min_p, 0, 1)
        within("typical_p", self.typical_p, 0, 1)
        within("repeat_penalty", self.repeat_penalty, 0.01, 100)
        within("presence_penalty", self.presence_penalty, -100, 100)
        within("frequency_penalty", self.frequency_penalty, -100, 100)
        _whole("penalty_tokens", self.penalty_tokens, 0, 65_536)
        _whole("mirostat", self.mirostat, 0, 2)
        within("mirostat_tau", self.mirostat_tau, 0, 20)
        within("mirostat_eta", self.mirostat_eta, 0, 1)
        if self.seed is not None:
            _whole("seed", self.seed, 0, MOST_SEED)
        self._check_biases(vocab_tokens)

    def _check_biases(self, vocab_tokens: int) -> None:
        if len(self.logit_bias) > MOST_BIASES:
            count = len(self.logit_bias)
            raise ParameterError("logit_bias", f"at most {MOST_BIASES} tokens", count)
        for token, bias in self.logit_bias.items():
            _whole("logit_bias token", token, 0, vocab_tokens - 1)
            within("logit_bias", bias, -100, 100)

    @property
    def is_greedy(self) -> bool:
        return self.temperature < _COLDEST

    @property
    def has_penalties(self) -> bool:
        changed = self.repeat_penalty != 1 or self.presence_penalty or self.frequency_penalty
        return bool(changed) and self.penalty_tokens > 0


def _whole(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ParameterError(name, f"a whole number from {least} to {most}", value)
    within(name, value, least, most)
