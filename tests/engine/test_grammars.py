"""Grammars are kept, dangerous ones refused before llama.cpp sees them."""

from __future__ import annotations

import logging
import os
import re

import pytest
from engine_helpers import GREEDY, ask, collect, prompt
from llama_engine.errors import GrammarError
from llama_engine.schedule.engine import Engine
from llama_engine.text.sampling import SamplingParams

HOT = SamplingParams(temperature=1.0, seed=1)


@pytest.mark.parametrize("sampling", [GREEDY, HOT, SamplingParams(temperature=1, mirostat=2)])
def test_replies_keep_the_grammar(engine: Engine, sampling: SamplingParams) -> None:
    grammar = 'root ::= ("ba" | "co")+ [0-9]{2,3} "." other\nother ::= [a-f]{4}'
    for _ in range(5):
        reply = collect(ask(engine, prompt(engine, 9), 90, sampling=sampling, grammar=grammar))
        if reply.finished.reason == "stop":
            assert re.fullmatch(r"(ba|co)+[0-9]{2,3}\.[a-f]{4}", reply.text)
        else:
            assert re.match(r"(ba|co)+", reply.text)


@pytest.mark.parametrize("text", ["🇩🇪", "你好世界。", "👩‍👩‍👧 naïve Ω"])
def test_text_split_over_tokens_comes_out_whole(engine: Engine, text: str) -> None:
    reply = collect(ask(engine, prompt(engine, 5), 200, grammar=f'root ::= "{text}"'))
    assert reply.text == text
    assert len(reply.tokens) > len(text.split())


def test_half_a_character_at_the_length_limit_is_left_out(engine: Engine) -> None:
    reply = collect(ask(engine, prompt(engine, 5), 5, grammar='root ::= "a你好"'))
    assert reply.text == "a你"
    assert reply.finished.reason == "length"


def test_a_stop_string_split_over_tokens_is_never_shown(engine: Engine) -> None:
    stopped = {"grammar": 'root ::= "one 停 two"', "stop": ("停",)}
    generation = ask(engine, prompt(engine, 5), 60, **stopped)
    reply = collect(generation)
    assert (reply.text, reply.finished.reason) == ("one ", "stop")


def test_a_bad_grammar_belongs_to_its_request(engine: Engine) -> None:
    other = ask(engine, prompt(engine, 5), 30)
    for grammar in ("root ::= (", "no rules", "root ::= root", "start ::= 'a'", 'root ::= "a'):
        with pytest.raises(GrammarError):
            ask(engine, [300], grammar=grammar)
    assert collect(other).finished.completion_tokens == 30


@pytest.mark.parametrize(
    "grammar", ["root ::= ( my-secret", "start ::= 'a' my-secret", 'root ::= my-secret "\n\n" [']
)
def test_what_is_wrong_with_a_grammar_is_for_its_client_alone(
    engine: Engine,
    grammar: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(GrammarError, match=r"grammar: llama.cpp cannot parse it: [a-z]+ .*"):
        ask(engine, [300], grammar=grammar)
    os.write(2, b"what comes next\n")
    logged = caplog.text + "".join(capfd.readouterr())
    assert "my-secret" not in logged and "what comes next" in logged


@pytest.mark.parametrize(
    "grammar",
    [
        "root ::= " + "(" * 200_000 + '"a"' + ")" * 200_000,
        "root ::= " + "(" * 101 + '"a"' + ")" * 101,
        'root ::= "a" ' * 20_000,
        'root ::= "a"{5,1}',
        'root ::= "a"{100000000}',
        "root ::= " + '"abcdefgh"{1999} ' * 100,
        "root ::= " + '(("a"{100}){100}){100}',
        "root ::= a)\n",
        "root ::= \0",
        "   ",
        "\n".join(f'r{i} ::= "a"' for i in range(5_001)),
    ],
    ids=range(11),
)
def test_what_would_be_dangerous_is_refused(engine: Engine, grammar: str) -> None:
    with pytest.raises(GrammarError, match="grammar: "):
        ask(engine, [300], grammar=grammar)


def test_brackets_in_literals_and_classes_are_text(engine: Engine) -> None:
    grammar = 'root ::= "((({3,1}" [)}]{2} # a comment ((('
    reply = collect(ask(engine, prompt(engine, 5), 40, grammar=grammar))
    assert re.fullmatch(r"\(\(\(\{3,1\}[)}]{2}", reply.text)
