"""Models whose memory cannot be cut are evaluated again where that is needed, correctly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from engine_helpers import MakeEngine, Reply, ask, assert_same, collect, wait_for_text
from odd_models import VOCAB, write_recurrent, write_sliding

ODD = {"full_window_cache": False}


def tokens_of(count: int, seed: int) -> list[int]:
    return [int(token) for token in np.random.default_rng(seed).integers(260, VOCAB, count)]


@pytest.fixture(params=[write_recurrent, write_sliding], ids=["recurrent", "sliding"])
def odd_model(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write: Callable[[Path], Path] = request.param
    return write(tmp_path / "odd.gguf")


@pytest.fixture
def reference(make_engine: MakeEngine, odd_model: Path) -> Callable[[list[int], int], Reply]:
    """What the model says to a prompt when nothing was kept."""

    def reply(tokens: list[int], count: int) -> Reply:
        fresh = make_engine(odd_model, **ODD, sequences=1, memory_cache_bytes=0)
        whole = collect(ask(fresh, tokens, count))
        fresh.stop()
        return whole

    return reply


def test_the_next_turn(
    make_engine: MakeEngine, odd_model: Path, reference: Callable[[list[int], int], Reply]
) -> None:
    engine = make_engine(odd_model, **ODD)
    history = tokens_of(200, 1)
    first = collect(ask(engine, history, 20))
    turn = [*history, *(each.token for each in first.tokens), *tokens_of(20, 2)]
    second = collect(ask(engine, turn, 20))
    assert_same(reference(turn, 20), second)
    assert second.finished.cached_tokens >= 219


def test_another_branch_of_a_conversation(
    make_engine: MakeEngine, odd_model: Path, reference: Callable[[list[int], int], Reply]
) -> None:
    engine = make_engine(odd_model, **ODD, sequences=2)
    history = tokens_of(200, 1)
    collect(ask(engine, history, 60))
    for cut in (199, 150, 100, 10):
        branch = [*history[:cut], *tokens_of(30, cut)]
        assert_same(reference(branch, 20), collect(ask(engine, branch, 20)))


def test_common_prefixes_together(
    make_engine: MakeEngine, odd_model: Path, reference: Callable[[list[int], int], Reply]
) -> None:
    engine = make_engine(odd_model, **ODD, sequences=4)
    system = tokens_of(150, 3)
    prompts = [system + tokens_of(20, seed) for seed in range(10, 14)]
    replies = [collect(each) for each in [ask(engine, tokens, 20) for tokens in prompts]]
    for tokens, reply in zip(prompts, replies, strict=True):
        assert_same(reference(tokens, 20), reply)
    assert sum(reply.finished.cached_tokens >= 149 for reply in replies) == 3


def test_cancelling_and_moving(
    make_engine: MakeEngine, odd_model: Path, reference: Callable[[list[int], int], Reply]
) -> None:
    engine = make_engine(odd_model, **ODD)
    prompts = [tokens_of(40, seed) for seed in range(4)]
    generations = [ask(engine, tokens, 120) for tokens in prompts]
    firsts = [wait_for_text(each) for each in generations]
    generations[0].cancel()
    for tokens, generation, first in list(zip(prompts, generations, firsts, strict=True))[1:]:
        assert_same(reference(tokens, 120), collect(generation, first))
