"""Many generations at once give what each gives alone."""

from __future__ import annotations

import pytest
from engine_helpers import MakeEngine, ask, assert_same, collect, prompt
from llama_engine.errors import EngineStoppedError
from llama_engine.schedule.generation import Finished, PromptProgress


@pytest.mark.parametrize("layout", ["streams", "shared"])
def test_eight_at_once_are_as_each_alone(make_engine: MakeEngine, layout: str) -> None:
    engine = make_engine(sequences=8, layout=layout)
    prompts = [prompt(engine, 20 + 17 * seed, seed) for seed in range(8)]
    together = [collect(each) for each in [ask(engine, tokens, 24) for tokens in prompts]]
    alone_engine = make_engine(sequences=1, layout=layout, memory_cache_bytes=0)
    for tokens, reply in zip(prompts, together, strict=True):
        assert reply.finished.completion_tokens == 24
        assert_same(collect(ask(alone_engine, tokens, 24)), reply)


def test_more_requests_than_slots_all_end(make_engine: MakeEngine) -> None:
    engine = make_engine(sequences=2)
    prompts = [prompt(engine, 10 + seed, seed) for seed in range(9)]
    replies = [collect(each) for each in [ask(engine, tokens, 5) for tokens in prompts]]
    assert [reply.finished.completion_tokens for reply in replies] == [5] * 9
    assert engine.running == engine.waiting == 0


def test_requests_join_and_leave_at_any_step(make_engine: MakeEngine) -> None:
    engine = make_engine(sequences=4)
    alone = make_engine(sequences=1)
    long = ask(engine, prompt(engine, 30, 1), 120)
    for seed in range(2, 12):
        tokens = prompt(engine, 5 * seed, seed)
        assert_same(collect(ask(alone, tokens, seed)), collect(ask(engine, tokens, seed)))
    assert_same(collect(ask(alone, prompt(engine, 30, 1), 120)), collect(long))


def test_streams_in_use_are_brought_together(make_engine: MakeEngine) -> None:
    engine = make_engine(sequences=4)
    prompts = [prompt(engine, 20, seed) for seed in range(4)]
    lengths = (3, 4, 150, 150)
    replies = [
        collect(each)
        for each in [ask(engine, *each) for each in zip(prompts, lengths, strict=True)]
    ]
    assert engine.counts.moved >= 1
    alone = make_engine(sequences=1, memory_cache_bytes=0)
    for tokens, length, reply in zip(prompts, lengths, replies, strict=True):
        assert_same(collect(ask(alone, tokens, length)), reply)


def test_prompt_progress_grows_to_the_whole(make_engine: MakeEngine) -> None:
    engine = make_engine(batch_tokens=32)
    events = list(ask(engine, prompt(engine, 200), 2))
    progress = [event for event in events if isinstance(event, PromptProgress)]
    evaluated = [event.evaluated for event in progress]
    assert evaluated == sorted(evaluated)
    assert evaluated[-1] == progress[0].total == 200
    assert len(evaluated) > 4
    assert isinstance(events[-1], Finished)


def test_finished_tells_times_and_counts(make_engine: MakeEngine) -> None:
    engine = make_engine()
    finished = collect(ask(engine, prompt(engine, 40), 6)).finished
    assert (finished.prompt_tokens, finished.completion_tokens) == (40, 6)
    assert finished.reason == "length"
    assert finished.queued_ms >= 0
    assert finished.prompt_ms > 0
    assert finished.generation_ms > 0


def test_stop_ends_what_runs_and_refuses_what_comes(make_engine: MakeEngine) -> None:
    engine = make_engine()
    tokens = prompt(engine, 10)
    generation, unwanted = ask(engine, tokens, 400), ask(engine, tokens, 400)
    unwanted.cancel()
    assert engine.stop()
    finished = collect(generation).finished
    assert (finished.reason, finished.error) == (
        "error",
        "The engine was stopped before the reply had ended",
    )
    assert collect(unwanted).finished.reason == "cancelled"
    with pytest.raises(EngineStoppedError):
        ask(engine, tokens, 4)
    with pytest.raises(EngineStoppedError):
        prompt(engine, 10)
