"""How many prompt tokens a step may evaluate beside the generating sequences.

Invariant: over time, prompts take no more than `gap_stretch` allows beside replies, by what steps
have really taken; and every prompt gets on.

Prompts that came together with the replies that run already are all evaluated first, if that is
soon done (`_LONGEST_BURST_MS`): then everybody's reply goes on in steps for all, which take little
longer than those for one, and the last of them is done sooner. Nobody was reading before they came.

Small pieces of a prompt are slow: eight tokens take half as long as thirty. So a prompt is
evaluated in pieces that make a step as long as readers do not mind (`comfortable_gap_ms`), and
between them come steps of replies only, until the replies have had their share again. Many prompts
beside few replies have a larger share. A prompt's beginning has the longest steps at once: one that
is short is then done, and only a long one goes on with its share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from llama_engine.options import EngineOptions

_LEAST_TOKENS = 4
"""No piece of a prompt is smaller, however slow the model is."""
_EFFICIENT_TOKENS = 16
"""Nor than this while nobody generates, or if it still makes a step of allowed length."""
_SHORT_STEPS = 2
"""A prompt is short if so many of the longest steps are enough for it."""
_STRETCH_TO_END = 1.25
"""A step may be so much longer if no other is needed for the prompt then."""
_LONGEST_BURST_MS = 5_000.0
"""Replies that have just begun wait no longer for prompts that came with theirs."""
_WEIGHT = 0.3
"""Of the newest measurement in a moving average."""
_MOST_CHANGE = 2.0
"""A single step, which may have been interrupted, counts as no more than so many times slower or
faster than what is known."""


@dataclass(frozen=True)
class StepTokens:
    """Prompt tokens that a step may have, in all."""

    beginning: int
    """Where they are of prompts that have not had `short` tokens yet."""
    going_on: int
    """Otherwise."""
    short: int
    ending: int
    """Where that ends a prompt, while nobody generates."""


class StepBudget:
    """Learns what steps take, and says how large the next one may be."""

    def __init__(self, options: EngineOptions) -> None:
        self._longest_ms = options.longest_step_ms
        self._comfortable_ms = options.comfortable_gap_ms
        self._stretch = options.gap_stretch
        self._most_tokens = options.batch_tokens
        self._prompt_ms: float | None = None
        """What a prompt token takes, the pass over the weights apart."""
        self._decode_ms: dict[int, float] = {}
        """What a step of so many replies takes."""
        self._income_ms = 0.0
        """What each step of replies adds to the prompts' credit."""
        self._piece_ms = 0.0
        self._credit_ms = 0.0
        """Time that prompts may take now."""

    def tokens(self, generating: int, waiting: int) -> StepTokens:
        """Prompt tokens for a step with so many generating and so many prompts at work."""
        alone = self._whole_blocks(self._fitting(self._longest_ms, _EFFICIENT_TOKENS, 0))
        if not generating:
            ending = min(int(_STRETCH_TO_END * alone), self._most_tokens)
            return StepTokens(alone, alone, _SHORT_STEPS * alone, ending)
        decode_ms = self.decode_ms(generating)
        fair_ms = decode_ms * (self._stretch - 1)
        longest_ms = max(self._longest_ms - decode_ms, fair_ms)
        self._income_ms = fair_ms * max(1.0, waiting / generating)
        self._piece_ms = max(
            self._comfortable_ms - decode_ms,
            min(self._income_ms, longest_ms),
            min(self._cost_ms(_EFFICIENT_TOKENS), longest_ms),
        )
        is_due = decode_ms > 0 and self._credit_ms >= self._piece_ms
        return StepTokens(
            beginning=self._fitting(longest_ms, _LEAST_TOKENS, generating),
            going_on=self._fitting(self._piece_ms, _LEAST_TOKENS, generating) if is_due else 0,
            short=_SHORT_STEPS * alone,
            ending=0,
        )

    def is_soon_done(self, prompt_tokens: int) -> bool:
        """Whether so many tokens of prompts are few enough to let young replies wait for them."""
        return prompt_tokens * self.prompt_ms <= _LONGEST_BURST_MS

    @property
    def prompt_ms(self) -> float:
        """What a prompt token takes, the pass over the weights apart; 0 while that is not known."""
        return self._prompt_ms or 0.0

    def _fitting(self, time_ms: float, least: int, generating: int) -> int:
        room = self._most_tokens - generating
        fitting = _EFFICIENT_TOKENS
        if self._prompt_ms is not None:
            fitting = int((time_ms - self.decode_ms(1)) / self._prompt_ms)
        return max(min(least, room), min(fitting, room))

    def _whole_blocks(self, tokens: int) -> int:
        """The nearest number that the kernels like."""
        nearest = _EFFICIENT_TOKENS * max(1, round(tokens / _EFFICIENT_TOKENS))
        return min(nearest, self._most_tokens)

    def _cost_ms(self, tokens: int) -> float:
        """What a piece of a prompt takes: a pass over the weights of its own, and its tokens."""
        return self.decode_ms(1) + tokens * self.prompt_ms

    def decode_ms(self, generating: int) -> float:
        """What a step without prompts takes; 0 while that is not known."""
        if not generating or not self._decode_ms:
            return 0.0
        nearest = min(self._decode_ms, key=lambda count: abs(count - generating))
        return self._decode_ms[nearest] * math.sqrt(generating / nearest)

    def learn(self, generating: int, prompt_tokens: int, took_ms: float) -> None:
        """Take note of a batch: of replies, of a prompt, or of both."""
        spent_ms = 0.0
        if not prompt_tokens:
            known = self._decode_ms.get(generating)
            self._decode_ms[generating] = _moved(known, took_ms)
        else:
            spent_ms = max(took_ms - self.decode_ms(generating), 0.05 * took_ms)
            tokens_ms = max(spent_ms - self.decode_ms(1), 0.3 * spent_ms)
            self._prompt_ms = _moved(self._prompt_ms, tokens_ms / prompt_tokens)
        credit_ms = self._credit_ms - spent_ms + (self._income_ms if generating else 0.0)
        self._credit_ms = max(-self._longest_ms, min(credit_ms, 2 * self._piece_ms))


def _moved(known: float | None, measured: float) -> float:
    """A moving average; the first measurement counts in full."""
    if known is None:
        return measured
    bounded = min(max(measured, known / _MOST_CHANGE), known * _MOST_CHANGE)
    return known + _WEIGHT * (bounded - known)
