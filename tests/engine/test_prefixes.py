"""What was evaluated once is not evaluated again."""

from __future__ import annotations

import pytest
from engine_helpers import MakeEngine, ask, assert_same, collect, prompt, wait_for_text
from llama_engine.schedule.engine import Engine


def evaluated(engine: Engine) -> int:
    return engine.counts.evaluated_tokens


@pytest.mark.parametrize("layout", ["streams", "shared"])
def test_the_next_turn_evaluates_what_is_new(make_engine: MakeEngine, layout: str) -> None:
    engine = make_engine(layout=layout, context_tokens=4_096)
    history = prompt(engine, 2_000)
    first = collect(ask(engine, history, 20))
    turn = [*history, *(each.token for each in first.tokens), *prompt(engine, 30, 5)]
    before = evaluated(engine)
    second = collect(ask(engine, turn, 10))
    assert second.finished.cached_tokens >= 2_000
    assert evaluated(engine) - before < 100
    fresh = make_engine(sequences=1, context_tokens=4_096)
    assert_same(collect(ask(fresh, turn, 10)), second)


def test_also_after_the_other_slots_were_busy(make_engine: MakeEngine) -> None:
    engine = make_engine(sequences=2, context_tokens=2_560, memory_cache_bytes=64 * 1024**2)
    history = prompt(engine, 2_000)
    collect(ask(engine, history, 4))
    others = [ask(engine, prompt(engine, 90, seed), 12) for seed in range(1, 9)]
    for other in others:
        collect(other)
    turn = [*history, *prompt(engine, 40, 77)]
    reply = collect(ask(engine, turn, 4))
    assert reply.finished.cached_tokens >= 1_999


@pytest.mark.parametrize("layout", ["streams", "shared"])
def test_a_common_prefix_is_evaluated_once_by_those_who_arrive_together(
    make_engine: MakeEngine, layout: str
) -> None:
    engine = make_engine(sequences=8, layout=layout, context_tokens=1_024)
    system = prompt(engine, 400)
    prompts = [system + prompt(engine, 20, seed) for seed in range(1, 9)]
    before = evaluated(engine)
    replies = [collect(each) for each in [ask(engine, tokens, 6) for tokens in prompts]]
    assert evaluated(engine) - before < 400 + 8 * (20 + 6 + 20)
    assert sorted(reply.finished.cached_tokens >= 390 for reply in replies) == [False] + [True] * 7
    alone = make_engine(sequences=1, context_tokens=1_024, memory_cache_bytes=0)
    for tokens, reply in zip(prompts, replies, strict=True):
        assert_same(collect(ask(alone, tokens, 6)), reply)


def test_a_follower_goes_on_when_its_leader_is_cancelled(make_engine: MakeEngine) -> None:
    engine = make_engine(context_tokens=4_096, longest_step_ms=5, comfortable_gap_ms=5)
    system = prompt(engine, 3_000)
    leader = ask(engine, system + prompt(engine, 20, 1), 5)
    follower = ask(engine, system + prompt(engine, 20, 2), 5)
    leader.next_event(30)
    leader.cancel()
    assert collect(leader).finished.reason == "cancelled"
    assert collect(follower).finished.completion_tokens == 5


def test_a_prefix_is_shared_with_a_sequence_that_runs(engine: Engine) -> None:
    system = prompt(engine, 100)
    first = ask(engine, system + prompt(engine, 10, 1), 200)
    wait_for_text(first)
    second = collect(ask(engine, system + prompt(engine, 10, 2), 5))
    assert second.finished.cached_tokens >= 99
    first.cancel()
    collect(first)


def test_a_conversation_is_not_lost_to_one_that_begins_like_it(make_engine: MakeEngine) -> None:
    engine = make_engine(sequences=2, context_tokens=1_024)
    system = prompt(engine, 100)
    history = system + prompt(engine, 500, 1)
    collect(ask(engine, history, 4))
    collect(ask(engine, system + prompt(engine, 20, 2), 4))
    assert collect(ask(engine, history, 4)).finished.cached_tokens == len(history) - 1
