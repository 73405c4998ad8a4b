"""Readers and newcomers share the steps by what steps take."""

from __future__ import annotations

from llama_engine.options import EngineOptions
from llama_engine.schedule.budget import StepBudget

DECODE_MS = {1: 10.0, 2: 17.0, 3: 24.0, 4: 29.0, 8: 51.0, 16: 71.0}
"""What a step of so many replies takes on two cores with half a billion parameters."""
TOKEN_MS = 3.5


def took_ms(generating: int, tokens: int) -> float:
    pieces_ms = DECODE_MS[1] + TOKEN_MS * tokens if tokens else 0.0
    return DECODE_MS.get(generating, 0.0) + pieces_ms


def trained(**options: float) -> StepBudget:
    budget = StepBudget(EngineOptions(**options))  # type: ignore[arg-type]
    for _ in range(30):
        budget.learn(0, 64, took_ms(0, 64))
        for generating, decode_ms in DECODE_MS.items():
            budget.learn(generating, 0, decode_ms)
    return budget


def gaps(budget: StepBudget, generating: int, waiting: int, steps: int = 400) -> list[float]:
    """What steps take while long prompts go on, the last steps of many."""
    taken = []
    for _ in range(steps):
        tokens = budget.tokens(generating, waiting).going_on
        taken.append(took_ms(generating, tokens))
        budget.learn(generating, tokens, taken[-1])
    return taken[steps // 2 :]


def test_nobody_generates_steps_are_as_long_as_allowed() -> None:
    tokens = trained().tokens(0, 1)
    assert tokens.beginning == tokens.going_on
    assert 200 < took_ms(0, tokens.going_on) <= 240


def test_a_long_prompt_stretches_the_gaps_as_allowed() -> None:
    for generating, decode_ms in DECODE_MS.items():
        taken = gaps(trained(), generating, 1)
        mean, median = sum(taken) / len(taken), sorted(taken)[len(taken) // 2]
        assert 2.0 * decode_ms < mean < 2.8 * decode_ms, generating
        assert median < 3 * decode_ms
        assert max(taken) <= max(160, 2.8 * decode_ms)


def test_many_prompts_beside_one_reply_have_more() -> None:
    taken = gaps(trained(), 1, 15)
    assert sum(taken) / len(taken) > 200
    assert max(taken) <= 250


def test_a_beginning_has_the_longest_step_at_once() -> None:
    tokens = trained().tokens(4, 1)
    assert 200 < took_ms(4, tokens.beginning) <= 240
    assert tokens.short > 100


def test_a_slow_model_gets_on() -> None:
    budget = StepBudget(EngineOptions())
    for _ in range(30):
        budget.learn(0, 16, 16 * 60)
        budget.learn(4, 0, 900)
    tokens = []
    for _ in range(20):
        tokens.append(budget.tokens(4, 1).going_on)
        budget.learn(4, tokens[-1], 900 + 60 * tokens[-1])
    assert max(tokens) >= 20
    assert budget.tokens(0, 1).beginning == 16


def test_one_interrupted_step_is_no_rule() -> None:
    budget = trained()
    before = budget.tokens(0, 1).beginning
    budget.learn(0, 64, 60_000)
    assert budget.tokens(0, 1).beginning > before * 0.7


def test_before_anything_is_known_a_reply_is_measured_first() -> None:
    budget = StepBudget(EngineOptions())
    assert budget.tokens(0, 1).beginning == 16
    assert budget.tokens(2, 1).going_on == 0


def test_slow_small_pieces_do_not_shrink_further() -> None:
    budget = trained()
    for _ in range(30):
        budget.learn(3, 0, 65.0)
    pieces = []
    for _ in range(300):
        tokens = budget.tokens(3, 1).going_on
        pieces.append(tokens)
        budget.learn(3, tokens, 65.0 + (40.0 + 8.0 * tokens if tokens else 0.0))
    assert min(tokens for tokens in pieces[-100:] if tokens) >= 8
