"""JSON that keeps its schema, and what cannot be kept refused by name."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
from engine_helpers import MakeEngine, ask, collect, prompt
from jsonschema import Draft202012Validator
from llama_engine.errors import GrammarError
from llama_engine.schedule.engine import Engine
from llama_engine.text.json_schema import JSON_OBJECT_SCHEMA, LONGEST_SCHEMA, prepare_schema
from llama_engine.text.sampling import SamplingParams
from llama_engine.text.schema_check import schema_grammar

NAME = {"type": "string", "minLength": 1, "maxLength": 12}
SMALL = {"type": "integer", "minimum": 0, "maximum": 9}
SCHEMAS: list[Any] = [
    {"type": ["boolean", "null", "number"]},
    {"type": "number", "exclusiveMaximum": -1.5},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1e-7},
    {"enum": ["red", 'gr"een', "b\\lue", 3, None, {"a": [1]}, "你好"]},
    {"type": "string", "enum": ["a", 1, "b"]},
    {"type": "string", "pattern": "b", "maxLength": 10},
    {"type": "string", "format": "date-time"},
    {"type": "array", "items": SMALL, "maxItems": 0},
    {"type": "array", "prefixItems": [{"type": "boolean"}, SMALL], "minItems": 2, "items": False},
    {"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "boolean"}}},
    {"type": "object", "patternProperties": {"^x[0-9]$": SMALL}, "additionalProperties": False},
    {
        "allOf": [
            {"type": "object", "properties": {"a": SMALL}, "required": ["a"]},
            {"properties": {"b": NAME, "c": False}, "required": ["b"]},
        ],
        "additionalProperties": False,
        "properties": {"a": True, "b": True},
    },
    {
        "oneOf": [
            {"type": "object", "properties": {"k": {"const": 1}, "v": SMALL}, "required": ["k"]},
            {"type": "object", "properties": {"k": {"enum": [2, 3]}}, "required": ["k"]},
            {"type": "null"},
        ],
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
    check_replies(engine, schema, tries=3)


def test_on_the_built_in_model(make_engine: MakeEngine, guide_model: Path) -> None:
    engine = make_engine(guide_model, context_tokens=1_024)
    for schema in SCHEMAS[-3:]:
        check_replies(engine, schema, tries=2)


def check_replies(engine: Engine, schema: Any, tries: int) -> None:
    """At temperature 1, every reply is JSON that keeps its schema."""
    grammar = schema_grammar(schema)
    asked = [
        ask(engine, prompt(engine, 10), 400, sampling=SamplingParams(temperature=1.0, seed=seed),
            schema=grammar)
        for seed in range(tries)
    ]  # fmt: skip
    for generation in asked:
        reply = collect(generation)
        assert reply.finished.reason == "stop", reply
        value = json.loads(reply.text)
        formats = Draft202012Validator.FORMAT_CHECKER
        Draft202012Validator(schema, format_checker=formats).validate(value)


def test_without_a_schema_it_is_an_object(engine: Engine) -> None:
    grammar = schema_grammar(JSON_OBJECT_SCHEMA)
    assert collect(ask(engine, prompt(engine, 10), 8, schema=grammar)).text.startswith("{")


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "array", "items": {}, "uniqueItems": True}, "uniqueItems"),
        ({"type": "array", "contains": {}}, "contains"),
        ({"not": {"type": "null"}}, "not"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
        ({"type": "string", "pattern": "^(?=a)"}, "pattern with look-around"),
        ({"type": "string", "format": "regex"}, "format 'regex'"),
        ({"type": "object", "minProperties": 2}, "minProperties"),
        ({"propertyNames": {"not": {}}}, "propertyNames"),
        ({"if": {}, "then": {}}, "if"),
        ({"type": "object", "properties": {"a": {"dependentRequired": {}}}}, r"\$\.a: dependentR"),
    ],
)
def test_what_cannot_be_kept_is_named(schema: Any, named: str) -> None:
    with pytest.raises(GrammarError, match=f"{named}.*cannot be kept"):
        prepare_schema(schema)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (7, "expected an object, got 7"),
        (False, "false allows nothing"),
        ({"type": "text"}, "unknown type 'text'"),
        ({"type": []}, "unknown type"),
        ({"enum": []}, "enum: expected a list of some"),
        ({"const": math.nan}, "no JSON"),
        ({"const": 2**60}, "more digits"),
        ({"type": "string", "maxLength": -1}, "maxLength: expected 0 or more, got -1"),
        ({"type": "integer", "minimum": "1"}, "minimum: expected a number, got '1'"),
        ({"type": "integer", "minimum": 10**16}, "minimum: expected at most 999999999999999"),
        ({"type": "integer", "multipleOf": 99_991}, "multipleOf: expected more than 0, 1000"),
        ({"type": "object", "required": "a"}, "required: expected names, got 'a'"),
        ({"properties": []}, "properties: expected an object"),
        ({"$ref": "https://example.org/schema"}, "expected a place within the schema"),
        ({"$ref": "#/$defs/none"}, "leads nowhere"),
        ({"enum": ["x" * LONGEST_SCHEMA]}, "expected at most 100000 characters"),
        ({"oneOf": [{"const": number} for number in range(400)]}, "expected fewer options"),
    ],
)
def test_what_is_no_schema(schema: Any, message: str) -> None:
    with pytest.raises(GrammarError, match=message.replace("(", r"\(")):
        prepare_schema(schema)


def nested(levels: int) -> Any:
    schema: Any = {"type": "null"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def chained(links: int) -> Any:
    steps = {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(links)}
    return {"$defs": {**steps, f"d{links}": {"type": "null"}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (nested(61), "levels"),
        (nested(300), "levels"),
        (chained(2_000), "too much work"),
        ({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "JSON schema: "),
        ({"type": "string", "pattern": "(" * 5_000 + ")" * 5_000}, "regex parse error"),
        ({"type": "string", "pattern": "("}, "regex parse error"),
        ({"type": "integer", "minimum": 2, "maximum": 1}, "leave no number between them"),
        ({"const": "\ud800"}, "JSON schema: "),
    ],
    ids=range(8),
)  # fmt: skip
def test_what_would_be_dangerous_is_refused(schema: Any, message: str) -> None:
    with pytest.raises(GrammarError, match=message):
        schema_grammar(schema)


@pytest.mark.slow
@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "allOf": [{"pattern": f"a.{{{gap}}}b"} for gap in range(10, 40)]},
        {"type": "string", "pattern": "^(a{1000}){1000}$"},
    ],
    ids=["minutes", "a second a token"],
)
def test_minutes_of_work_are_refused_in_seconds(schema: Any) -> None:
    with pytest.raises(GrammarError, match=r"too much work|too long to follow"):
        schema_grammar(schema)


def test_without_the_package_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(GrammarError, match=r"response_format: .* lacks the package llguidance"):
        schema_grammar({"type": "null"})


def test_settings_of_the_library_within_a_schema_have_no_effect() -> None:
    assert 'lenient":true' not in schema_grammar({"x-guidance": {"lenient": True}})
    with pytest.raises(GrammarError, match="uniqueItems"):
        schema_grammar({"x-guidance": {"lenient": True}, "uniqueItems": True})
