"""Each value out of its range is refused by name; a seed gives the same text again."""

from __future__ import annotations

import math
from typing import Any

import pytest
from engine_helpers import MakeEngine, ask, collect, prompt
from llama_engine.errors import ParameterError
from llama_engine.load_errors import PromptTooLongError
from llama_engine.schedule.engine import Engine
from llama_engine.schedule.generation import Request
from llama_engine.text.sampling import SamplingParams


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("temperature", -1, "0 to 100"),
        ("temperature", math.nan, "0 to 100"),
        ("temperature", "hot", "a number from 0 to 100"),
        ("top_k", -1, "0 to"),
        ("top_k", 1.5, "a whole number"),
        ("top_p", 1.1, "0 to 1"),
        ("min_p", -0.1, "0 to 1"),
        ("typical_p", 2, "0 to 1"),
        ("repeat_penalty", 0, "0.01 to 100"),
        ("presence_penalty", 1e9, "-100 to 100"),
        ("frequency_penalty", -101, "-100 to 100"),
        ("penalty_tokens", -1, "0 to 65536"),
        ("mirostat", 3, "0 to 2"),
        ("mirostat_tau", -1, "0 to 20"),
        ("mirostat_eta", 2, "0 to 1"),
        ("seed", -1, "0 to 4294967294"),
        ("seed", 2**32 - 1, "0 to 4294967294"),
        ("logit_bias", {1_000_000: 1.0}, "0 to 999"),
        ("logit_bias", {-1: 1.0}, "0 to 999"),
        ("logit_bias", {1: math.inf}, "-100 to 100"),
    ],
)
def test_out_of_range(engine: Engine, name: str, value: Any, expected: str) -> None:
    with pytest.raises(ParameterError) as caught:
        ask(engine, [300, 301], sampling=SamplingParams(**{name: value}))
    assert name in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_tokens": -1}, "max_tokens: expected 0"),
        ({"top_logprobs": 21}, "top_logprobs: expected 0 to 20, got 21"),
        ({"stop": ("",)}, "stop, characters: expected 1"),
        ({"stop": tuple("abcdefghijklmnopq")}, "stop, number of strings: expected 0 to 16, got 17"),
    ],
)
def test_requests_out_of_range(engine: Engine, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        engine.submit(Request([300], **fields))


def test_a_prompt_too_long_tells_both_numbers(engine: Engine) -> None:
    with pytest.raises(PromptTooLongError, match=r"513 tokens.*512"):
        ask(engine, [300] * 513)


@pytest.mark.parametrize("tokens", [[], [-1], [1_000]])
def test_prompts_that_are_none(engine: Engine, tokens: list[int]) -> None:
    with pytest.raises(ParameterError, match="prompt: expected"):
        ask(engine, tokens)


@pytest.mark.parametrize(
    "sampling",
    [
        SamplingParams(temperature=1.0, seed=7),
        SamplingParams(temperature=1.0, seed=7, mirostat=1),
        SamplingParams(temperature=1.0, seed=7, mirostat=2),
        SamplingParams(temperature=1.0, seed=7, top_k=0, top_p=1, min_p=0, typical_p=0.5),
        SamplingParams(temperature=1.5, seed=7, repeat_penalty=1.3, presence_penalty=0.5),
    ],
)
def test_a_seed_repeats_the_text(make_engine: MakeEngine, sampling: SamplingParams) -> None:
    engine = make_engine()
    tokens = prompt(engine, 150)
    texts = [collect(ask(engine, tokens, 60, sampling=sampling)).text for _ in range(3)]
    fresh = make_engine()
    texts.append(collect(ask(fresh, tokens, 60, sampling=sampling)).text)
    assert len(set(texts)) == 1


def test_without_a_seed_texts_differ(engine: Engine) -> None:
    tokens = prompt(engine, 20)
    sampling = SamplingParams(temperature=1.0)
    texts = {collect(ask(engine, tokens, 30, sampling=sampling)).text for _ in range(4)}
    assert len(texts) > 1


def test_extremes_end_nothing(engine: Engine) -> None:
    for sampling in (
        SamplingParams(temperature=1e-30),
        SamplingParams(temperature=100, top_k=0, top_p=1, min_p=0),
        SamplingParams(temperature=1, top_p=0),
        SamplingParams(temperature=1, min_p=1),
        SamplingParams(temperature=1, typical_p=0),
        SamplingParams(temperature=1, top_k=1),
        SamplingParams(temperature=1, mirostat=1, mirostat_tau=0, mirostat_eta=0),
        SamplingParams(temperature=1, mirostat=2, mirostat_tau=20, mirostat_eta=1),
        SamplingParams(temperature=1, repeat_penalty=0.01, frequency_penalty=100),
        SamplingParams(temperature=1, logit_bias={token: -100 for token in range(990)}),
    ):
        reply = collect(ask(engine, prompt(engine, 10), 8, sampling=sampling))
        assert reply.finished.reason == "length", sampling


def test_bias_decides(engine: Engine) -> None:
    sampling = SamplingParams(temperature=0, logit_bias={500: 100.0})
    reply = collect(ask(engine, prompt(engine, 10), 4, sampling=sampling))
    assert [each.token for each in reply.tokens] == [500] * 4


def test_penalties_count_the_replys_tokens(engine: Engine) -> None:
    sampling = SamplingParams(
        temperature=0, logit_bias={500: 100.0, 501: 80.0}, presence_penalty=50.0
    )
    reply = collect(ask(engine, prompt(engine, 10), 2, sampling=sampling))
    assert [each.token for each in reply.tokens] == [500, 501]


def test_logprobs_are_those_of_the_model(engine: Engine) -> None:
    sampling = SamplingParams(temperature=2.0, seed=1, top_k=0, top_p=1, min_p=0)
    reply = collect(ask(engine, prompt(engine, 10), 8, sampling=sampling, top_logprobs=5))
    for token in reply.tokens:
        logprobs = [each[2] for each in token.top]
        assert len(logprobs) == 5
        assert logprobs == sorted(logprobs, reverse=True)
        assert token.logprob <= logprobs[0] <= 0
        assert sum(map(math.exp, logprobs)) <= 1 + 1e-6
    assert b"".join(each.piece for each in reply.tokens).decode() == reply.text
