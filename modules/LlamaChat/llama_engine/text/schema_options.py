"""Whether the options of a `oneOf` are told apart, so that no value can be two of them.

Invariant: options that are called apart are: by type, by constants, or by a property that both
require and that has other constants in each.
"""

from __future__ import annotations

import itertools
from typing import Any

from llama_engine.errors import GrammarError

_LONGEST_CHAIN = 20
_MOST_PAIRS = 50_000
"""To compare in one schema: some three hundred options in one place."""


def resolve(root: Any, ref: Any, at: str) -> Any:
    """What a reference within the schema leads to. Raises GrammarError."""
    if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
        raise GrammarError(
            f"JSON schema, {at}: $ref: expected a place within the schema, such as #/$defs/a, got "
            f"{ref!r:.80}"
        )
    target = root
    for part in ref.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        target = _step(target, key)
        if target is None:
            raise GrammarError(f"JSON schema, {at}: $ref {ref!r:.80} leads nowhere")
    return target


def _step(target: Any, key: str) -> Any:
    if isinstance(target, dict):
        return target.get(key)
    if isinstance(target, list) and key.isdecimal() and int(key) < len(target):
        return target[int(key)]
    return None


class SchemaOptions:
    """Compares options, following their references in one schema."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._pairs = 0

    def check_apart(self, options: list[Any], at: str) -> None:
        """Raise GrammarError unless no value can be two of the options."""
        self._pairs += len(options) * (len(options) - 1) // 2
        if self._pairs > _MOST_PAIRS:
            raise GrammarError(f"JSON schema, {at}: expected fewer options in oneOf. Use anyOf")
        found = [self._followed(option, at) for option in options]
        for one, other in itertools.combinations(found, 2):
            if not self._are_apart(one, other, at):
                raise GrammarError(
                    f"JSON schema, {at}: oneOf cannot be kept while generating where options "
                    "are not told apart by type, or by a constant of a required property. Use anyOf"
                )

    def _followed(self, schema: Any, at: str) -> dict[str, Any]:
        for _ in range(_LONGEST_CHAIN):
            if not isinstance(schema, dict) or "$ref" not in schema:
                break
            schema = resolve(self._root, schema["$ref"], at)
        return schema if isinstance(schema, dict) else {}

    def _are_apart(self, one: dict[str, Any], other: dict[str, Any], at: str) -> bool:
        if _types(one).isdisjoint(_types(other)):
            return True
        return self._have_other_constants(one, other) or self._is_tagged(one, other, at)

    def _have_other_constants(self, one: dict[str, Any], other: dict[str, Any]) -> bool:
        left, right = _constants(one), _constants(other)
        return bool(left and right) and not any(value in right for value in left)

    def _is_tagged(self, one: dict[str, Any], other: dict[str, Any], at: str) -> bool:
        for name in _names(one, "required") & _names(other, "required"):
            left, right = (self._followed(_properties(each).get(name), at) for each in (one, other))
            is_object = _types(one) == _types(other) == {"object"}
            if is_object and self._have_other_constants(left, right):
                return True
        return False


def _types(schema: dict[str, Any]) -> set[str]:
    """The types that a value may have; a whole number is a number."""
    named = schema.get("type")
    if named is None and _constants(schema):
        return {_type_of(value) for value in _constants(schema)}
    names = named if isinstance(named, list) else [named]
    if not all(isinstance(name, str) for name in names):
        return {"string", "number", "boolean", "null", "array", "object"}
    return {"number" if name == "integer" else str(name) for name in names}


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    kinds = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


def _constants(schema: dict[str, Any]) -> list[Any]:
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else []


def _names(schema: dict[str, Any], keyword: str) -> set[str]:
    values = schema.get(keyword)
    return {name for name in values if isinstance(name, str)} if isinstance(values, list) else set()


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    values = schema.get("properties")
    return values if isinstance(values, dict) else {}
