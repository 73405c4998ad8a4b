"""JSON that keeps its schema, and keywords that cannot be kept refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from engine_helpers import MakeEngine, ask, collect, prompt
from json_checks import accepts
from llama_engine.engine import Engine
from llama_engine.errors import GrammarError
from llama_engine.json_schema import JSON_OBJECT_SCHEMA, schema_grammar
from llama_engine.sampling import SamplingParams

NAME = {"type": "string", "minLength": 1, "maxLength": 12}
SCHEMAS: list[Any] = [
    {"type": "integer"},
    {"type": "number"},
    {"type": ["boolean", "null"]},
    {"enum": ["red", 'gr"een', "b\\lue", 3, None, {"a": [1]}, "你好"]},
    {"const": "only"},
    {"type": "string", "enum": ["a", 1, "b"]},
    {"type": "string", "maxLength": 10},
    {"type": "string", "format": "date"},
    {"type": "string", "format": "time"},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "uuid"},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 4},
    {"type": "array", "items": {"type": "integer"}, "maxItems": 1},
    {"type": "array", "items": {"type": "integer"}, "maxItems": 0},
    {"type": "array", "prefixItems": [{"type": "boolean"}, {"enum": ["x", "y"]}]},
    {"type": "object"},
    {"type": "object", "properties": {}},
    {"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "boolean"}}},
    {
        "type": "object",
        "properties": {"a": {"type": "null"}, "b": {"type": "boolean"}, "c": {"const": 1}},
        "required": ["b"],
        "additionalProperties": False,
    },
    {
        "title": "Person",
        "type": "object",
        "properties": {
            "name": NAME,
            "age": {"type": "integer", "description": "years"},
            "kind": {"enum": ["cat", "dog"]},
            "tags": {"type": "array", "items": NAME, "maxItems": 3},
            "home": {
                "type": "object",
                "properties": {"lat": {"type": "number"}, "lon": {"type": "number"}},
                "required": ["lat", "lon"],
            },
        },
        "required": ["name", "age", "kind", "tags", "home"],
    },
    {
        "$defs": {"leaf": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/pair"}]},
                  "pair": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2}},
        "type": "object",
        "properties": {
            "left": {"$ref": "#/$defs/leaf"}, "right": {"allOf": [{"$ref": "#/$defs/leaf"}]},
        },
        "required": ["left", "right"],
    },
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:40])
def test_replies_keep_the_schema(engine: Engine, schema: Any) -> None:
    grammar = schema_grammar(schema)
    bounded = [
        collect(
            ask(
                engine,
                prompt(engine, 10),
                400,
                sampling=SamplingParams(temperature=1.0, seed=seed),
                grammar=grammar,
            )
        )
        for seed in range(4)
    ]
    for reply in bounded:
        if reply.finished.reason == "length" and schema in ({"type": "object"},):
            continue  # unbounded: random weights see no reason to end
        assert reply.finished.reason == "stop", reply.text
        value = json.loads(reply.text)
        assert accepts(schema, value), reply.text


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "integer", "minimum": 1}, "minimum"),
        ({"type": "number", "exclusiveMaximum": 1}, "exclusiveMaximum"),
        ({"type": "number", "multipleOf": 2}, "multipleOf"),
        ({"type": "array", "items": {}, "uniqueItems": True}, "uniqueItems"),
        ({"type": "array", "contains": {}}, "contains"),
        ({"not": {"type": "null"}}, "not"),
        ({"oneOf": [{"type": "null"}]}, "oneOf"),
        ({"type": "string", "pattern": "^a$"}, "pattern"),
        ({"type": "string", "format": "email"}, "format 'email'"),
        ({"type": "object", "patternProperties": {}}, "patternProperties"),
        ({"type": "object", "minProperties": 1}, "minProperties"),
        ({"if": {}, "then": {}}, "if"),
        ({"allOf": [{}, {}]}, "allOf"),
        ({"type": "object", "properties": {"a": {"type": "integer", "maximum": 3}}}, r"\$\.a: max"),
    ],
)
def test_what_cannot_be_kept_is_named(schema: Any, named: str) -> None:
    with pytest.raises(GrammarError, match=f"{named}.*cannot be kept"):
        schema_grammar(schema)


@pytest.mark.parametrize(
    "schema",
    [
        7,
        {"type": "text"},
        {"type": []},
        {"enum": []},
        {"enum": "ab"},
        {"const": float("nan")},
        {"type": "string", "maxLength": -1},
        {"type": "string", "maxLength": 100_000},
        {"type": "string", "minLength": 3, "maxLength": 2},
        {"type": "object", "required": ["a"]},
        {"$ref": "https://example.org/schema"},
        {"$ref": "#/$defs/none"},
        {"type": "array", "prefixItems": [True], "maxItems": 0},
    ],
)
def test_what_is_no_schema(schema: Any) -> None:
    with pytest.raises(GrammarError):
        schema_grammar(schema)


def test_a_schema_nested_too_deep() -> None:
    schema: Any = {"type": "null"}
    for _ in range(100):
        schema = {"type": "array", "items": schema}
    with pytest.raises(GrammarError, match="levels"):
        schema_grammar(schema)


def test_a_schema_that_refers_to_itself_alone_is_refused(engine: Engine) -> None:
    grammar = schema_grammar({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"})
    with pytest.raises(GrammarError, match="cannot parse"):
        ask(engine, [300], grammar=grammar)


def test_on_the_built_in_model(make_engine: MakeEngine, guide_model: Path) -> None:
    check_on_guide(make_engine(guide_model, context_tokens=1_024), tries=10)


@pytest.mark.slow
def test_two_hundred_on_the_built_in_model(make_engine: MakeEngine, guide_model: Path) -> None:
    check_on_guide(make_engine(guide_model, context_tokens=1_024), tries=200)


def check_on_guide(engine: Engine, tries: int) -> None:
    """At temperature 1, every reply is JSON that keeps its schema."""
    bounded = [schema for schema in SCHEMAS if schema != JSON_OBJECT_SCHEMA]
    asked = []
    for seed in range(tries):
        schema = bounded[-1 - seed % len(bounded)]
        tokens = engine.tokenize(f"Answer number {seed} as JSON:")
        sampling = SamplingParams(temperature=1.0, seed=seed)
        asked.append(
            (schema, ask(engine, tokens, 600, sampling=sampling, grammar=schema_grammar(schema)))
        )
    for schema, generation in asked:
        reply = collect(generation)
        assert reply.finished.reason == "stop", reply.text
        assert accepts(schema, json.loads(reply.text)), reply.text
