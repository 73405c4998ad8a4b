"""Replies of a model without an opinion keep the schemas of pydantic models, every time."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from engine_helpers import MakeEngine, ask, collect, prompt
from jsonschema import Draft202012Validator
from llama_engine.schedule.engine import Engine
from llama_engine.text.sampling import SamplingParams
from llama_engine.text.schema_check import schema_grammar
from llama_engine.text.schema_constraint import SchemaConstraint, SchemaVocabulary
from odd_models import write_recurrent
from pydantic import TypeAdapter
from pydantic_models import MODELS, schema_of

FORMATS = Draft202012Validator.FORMAT_CHECKER


@pytest.fixture
def long_engine(make_engine: MakeEngine) -> Engine:
    return make_engine(context_tokens=1_500)


def test_one_reply_for_each_of_twenty(long_engine: Engine) -> None:
    assert len(MODELS) == 20
    check_replies(long_engine, rounds=1)


@pytest.mark.slow
def test_two_hundred(long_engine: Engine) -> None:
    check_replies(long_engine, rounds=10)


def check_replies(engine: Engine, rounds: int) -> None:
    """Each model is asked so many times, each time with another seed and another heat."""
    asked = []
    for number in range(rounds):
        for model in MODELS:
            sampling = SamplingParams(
                temperature=(1.0, 0.3, 3.0)[number % 3], top_k=0, top_p=1, min_p=0, seed=number
            )
            grammar = schema_grammar(schema_of(model))
            tokens = prompt(engine, 10, number)
            generation = ask(engine, tokens, 1_400, sampling=sampling, schema=grammar)
            asked.append((model, generation))
    valid = sum(is_valid(model, collect(generation).text) for model, generation in asked)
    print(f"{valid} of {len(asked)} valid")
    assert valid == len(asked)


def is_valid(model: Any, text: str) -> bool:
    """Raises what is wrong with a reply, for the schema's reader and for pydantic."""
    value = json.loads(text)
    Draft202012Validator(schema_of(model), format_checker=FORMATS).validate(value)
    TypeAdapter(model).validate_json(text)
    return True


def test_max_tokens_in_the_middle_is_a_length(engine: Engine) -> None:
    grammar = schema_grammar(schema_of(MODELS[0]))
    reply = collect(ask(engine, prompt(engine, 10), 4, schema=grammar))
    assert (reply.finished.reason, reply.finished.completion_tokens) == ("length", 4)
    assert reply.text.startswith("{")


def test_formats_can_be_checked() -> None:
    """A checker that lacks its package would let everything pass."""
    for name in ("date", "date-time", "time", "uuid", "duration"):
        schema = {"type": "string", "format": name}
        assert not Draft202012Validator(schema, format_checker=FORMATS).is_valid("no")


def test_several_at_once_each_with_a_matcher_of_its_own(make_engine: MakeEngine) -> None:
    engine = make_engine(sequences=4, context_tokens=600)
    sampling = SamplingParams(temperature=1, seed=1)
    wanted = [{"enum": [f"{number} " * 20]} for number in range(8)]
    asked = [
        ask(engine, prompt(engine, 5), 300, sampling=sampling, schema=schema_grammar(each))
        for each in wanted
    ]
    for schema, generation in zip(wanted, asked, strict=True):
        assert json.loads(collect(generation).text) == schema["enum"][0]


def test_it_takes_microseconds_a_token(engine: Engine) -> None:
    """Far below what a step takes: a mask of every token would be hundreds of times as much."""
    grammar = schema_grammar({"type": "string"})
    tokenizer = SchemaVocabulary(engine.model).tokenizer()
    constraint = SchemaConstraint(tokenizer, grammar, engine.model.vocab_tokens)
    tokens = engine.tokenize('"' + "ba be bi " * 50)
    began = time.perf_counter()
    for token in tokens:
        assert constraint.allows(token)
        constraint.accept(token)
    assert (time.perf_counter() - began) / len(tokens) < 1e-3


def test_on_a_vocabulary_of_words_with_spaces_before_them(
    make_engine: MakeEngine, tmp_path: Path
) -> None:
    engine = make_engine(write_recurrent(tmp_path / "mamba.gguf"))
    grammar = schema_grammar({"const": "w1 w2 ä"})
    assert collect(ask(engine, [3, 4, 5], 60, schema=grammar)).text == '"w1 w2 ä"'
