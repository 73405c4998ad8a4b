"""Requests and replies in the shapes that the tests compare."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llama_engine.schedule.engine import Engine
from llama_engine.schedule.generation import Event, Finished, Generation, Request, TextDelta
from llama_engine.text.logprobs import TokenLogprob
from llama_engine.text.sampling import SamplingParams
from make_model import filler_text

GREEDY = SamplingParams(temperature=0)
MakeEngine = Callable[..., Engine]
"""The fixture `make_engine`."""
CLOSE = 0.05
"""Two logits nearer than this may change places where rounding differs."""


@dataclass
class Reply:
    """A whole reply, token by token."""

    text: str
    tokens: list[TokenLogprob]
    finished: Finished


def prompt(engine: Engine, words: int, seed: int = 0) -> list[int]:
    """A prompt of about that many tokens."""
    return engine.tokenize(filler_text(words, seed))


def ask(engine: Engine, tokens: Sequence[int], max_tokens: int = 16, **more: Any) -> Generation:
    """Submit a greedy request that tells its tokens."""
    fields: dict[str, Any] = {"sampling": GREEDY, "top_logprobs": 2, **more}
    return engine.submit(Request(tokens, max_tokens=max_tokens, **fields))


def collect(generation: Generation, *taken: Event) -> Reply:
    """Wait for the whole reply. `taken` are events that were read already."""
    text = ""
    tokens: list[TokenLogprob] = []
    for event in itertools.chain(taken, generation):
        if isinstance(event, TextDelta):
            text += event.text
            tokens += event.logprobs
        elif isinstance(event, Finished):
            return Reply(text, tokens, event)
    raise AssertionError("no end")


def wait_for_text(generation: Generation) -> TextDelta:
    """The first piece of text."""
    while True:
        event = generation.next_event(60)
        assert not isinstance(event, Finished), event
        if isinstance(event, TextDelta):
            return event


def assert_same(one: Reply, other: Reply) -> None:
    """Equal, or apart at a token where the two best were close."""
    for left, right in zip(one.tokens, other.tokens, strict=False):
        if left.token != right.token:
            best, second = left.top[0], left.top[1]
            assert best[2] - second[2] < CLOSE, (left, right)
            return
    assert one.text == other.text
    assert one.finished.reason == other.finished.reason
