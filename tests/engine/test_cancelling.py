"""A cancel is heard in decode, in prefill and in the queue, and touches nobody else."""

from __future__ import annotations

import time

from engine_helpers import MakeEngine, ask, assert_same, collect, prompt, wait_for_text
from llama_engine.schedule.engine import Engine
from llama_engine.schedule.generation import PromptProgress


def test_during_decode(engine: Engine) -> None:
    generation = ask(engine, prompt(engine, 10), 450)
    wait_for_text(generation)
    generation.cancel()
    finished = collect(generation).finished
    assert finished.reason == "cancelled"
    assert 0 < finished.completion_tokens < 450


def test_during_prefill_leaves_others_whole(make_engine: MakeEngine) -> None:
    engine = make_engine(context_tokens=4_096, longest_step_ms=5, comfortable_gap_ms=5)
    alone = make_engine(sequences=1)
    prompts = [prompt(engine, 30, seed) for seed in range(3)]
    others = [ask(engine, tokens, 60) for tokens in prompts]
    firsts = [wait_for_text(other) for other in others]
    newcomer = ask(engine, prompt(engine, 4_000, 9), 10)
    while True:
        event = newcomer.next_event(30)
        if isinstance(event, PromptProgress) and 0 < event.evaluated:
            break
    newcomer.cancel()
    asked = time.monotonic()
    finished = collect(newcomer).finished
    assert time.monotonic() - asked < 5
    assert (finished.reason, finished.completion_tokens) == ("cancelled", 0)
    for tokens, other, first in zip(prompts, others, firsts, strict=True):
        reply = collect(other, first)
        assert reply.finished.completion_tokens == 60
        assert_same(collect(ask(alone, tokens, 60)), reply)


def test_while_waiting(make_engine: MakeEngine) -> None:
    engine = make_engine(sequences=1)
    first = ask(engine, prompt(engine, 10), 300)
    second = ask(engine, prompt(engine, 20, 1), 300)
    second.cancel()
    finished = collect(second).finished
    assert (finished.reason, finished.prompt_ms) == ("cancelled", 0)
    first.cancel()
    assert collect(first).finished.reason == "cancelled"


def test_twice_and_after_the_end(engine: Engine) -> None:
    generation = ask(engine, prompt(engine, 10), 3)
    assert collect(generation).finished.reason == "length"
    generation.cancel()
    generation.cancel()
    assert collect(ask(engine, prompt(engine, 10), 3)).finished.completion_tokens == 3


def test_a_cancelled_prompt_is_kept_for_the_next(make_engine: MakeEngine) -> None:
    engine = make_engine(context_tokens=4_096, longest_step_ms=5, comfortable_gap_ms=5)
    tokens = prompt(engine, 2_000)
    first = ask(engine, tokens, 1)
    while True:
        event = first.next_event(30)
        if isinstance(event, PromptProgress) and event.evaluated > 100:
            break
    first.cancel()
    collect(first)
    second = collect(ask(engine, tokens, 1))
    assert second.finished.cached_tokens > 100
