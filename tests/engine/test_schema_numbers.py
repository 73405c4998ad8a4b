"""Numbers within any bounds: what is written is within them once it is read as a double."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from llama_engine.errors import GrammarError
from llama_engine.text.schema_check import SPACING, prepare_schema
from llama_engine.text.schema_trial import fault_of, limits
from llguidance import LLMatcher, LLTokenizer

BYTES = LLTokenizer("byte")
NUMBERS = st.one_of(
    st.integers(-20, 20),
    st.floats(-1e3, 1e3),
    st.decimals(-10, 10, places=8).map(float),
    st.integers(-8, 14).map(lambda power: 10.0**power),
    st.integers(-8, 14).map(lambda power: -(10.0**power)),
)
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["number", "integer"]),
    st.dictionaries(st.sampled_from(BOUNDS), NUMBERS),
    st.sampled_from([None, 2, 5, 997, 0.25]),
    st.integers(0, 9),
)
def test_within_the_bounds(
    kind: str, bounds: dict[str, float], step: float | None, seed: int
) -> None:
    schema: dict[str, Any] = {"type": kind, **bounds}
    if step is not None:
        schema["multipleOf"] = step
    try:
        prepared = prepare_schema(schema)
    except GrammarError:
        return
    text = written(prepared, random.Random(seed))
    if text is not None:
        Draft202012Validator(schema).validate(json.loads(text))
        assert len(text) < 40


def written(prepared: str, dice: random.Random) -> str | None:
    """Some text that the schema allows; None where it allows none, or the trial refuses it."""
    grammar = LLMatcher.grammar_from_json_schema(prepared, overrides=SPACING)
    if fault_of(grammar):
        return None
    matcher = LLMatcher(BYTES, grammar, log_level=0, limits=limits())
    text = b""
    while not (matcher.is_stopped() or (matcher.is_accepting() and dice.random() < 0.3)):
        mask = int.from_bytes(matcher.compute_bitmask(), "little")
        text += bytes([dice.choice([byte for byte in range(256) if mask >> byte & 1])])
        assert matcher.consume_token(text[-1])
    return text.decode() or None
