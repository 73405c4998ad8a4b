"""Random arrivals, cancels, lengths and context pressure: everything ends, nothing leaks."""

from __future__ import annotations

import random
from pathlib import Path

import psutil
import pytest
from engine_helpers import MakeEngine, ask, collect, prompt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_engine.schedule.engine import Engine
from llama_engine.schedule.generation import Generation
from llama_engine.text.sampling import SamplingParams

CONTEXT = 384
_MOST_AT_ONCE = 24


def drive(engine: Engine, requests: int, seed: int) -> int:
    """Submit so many requests of all kinds; returns how many ended by themselves."""
    chance = random.Random(seed)
    systems = [prompt(engine, 40 * (1 + i), i) for i in range(3)]
    open_ones: list[Generation] = []
    ended = 0
    for number in range(requests):
        head = chance.choice([[], *systems])
        tail = prompt(engine, chance.choice([1, 7, 60, 180]), chance.randrange(50))
        tokens = (head + tail)[:CONTEXT]
        sampling = SamplingParams(temperature=chance.choice([0.0, 1.0]), seed=number)
        stop = chance.choice([(), ("a",), ("the", "\n")])
        open_ones.append(
            ask(engine, tokens, chance.choice([1, 5, 40, 0]), sampling=sampling, stop=stop)
        )
        if chance.random() < 0.25:
            chance.choice(open_ones).cancel()
        while len(open_ones) > chance.randrange(1, _MOST_AT_ONCE):
            finished = collect(open_ones.pop(chance.randrange(len(open_ones)))).finished
            assert finished.reason in ("stop", "length", "cancelled"), finished
            ended += finished.reason != "cancelled"
    reasons = [collect(generation).finished.reason for generation in open_ones]
    assert "error" not in reasons
    return ended + sum(reason != "cancelled" for reason in reasons)


def assert_no_cell_is_lost(engine: Engine) -> None:
    """One prompt that fills the whole context still decodes."""
    assert engine.running == engine.waiting == 0
    full = (prompt(engine, CONTEXT, 999) * 2)[:CONTEXT]
    assert collect(ask(engine, full, 3)).finished.reason in ("length", "stop")


@pytest.mark.parametrize("layout", ["streams", "shared"])
@given(seed=st.integers(0, 2**32))
@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_request_ends(make_engine: MakeEngine, layout: str, seed: int) -> None:
    total = CONTEXT if layout == "shared" else CONTEXT * 4
    engine = make_engine(layout=layout, context_tokens=CONTEXT, total_tokens=total)
    assert drive(engine, 40, seed) > 0
    assert_no_cell_is_lost(engine)
    assert engine.stop()


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("layout", ["streams", "shared"])
def test_two_thousand_on_the_built_in_model(
    make_engine: MakeEngine, guide_model: Path, layout: str
) -> None:
    total = CONTEXT if layout == "shared" else CONTEXT * 4
    engine = make_engine(guide_model, layout=layout, context_tokens=CONTEXT, total_tokens=total)
    process = psutil.Process()
    drive(engine, 400, 1)
    before = process.memory_info().rss
    for part in range(4):
        drive(engine, 400, 2 + part)
    assert process.memory_info().rss - before < 24 * 1024**2
    assert_no_cell_is_lost(engine)
    if layout == "shared":
        assert engine.counts.stepped_back > 0
