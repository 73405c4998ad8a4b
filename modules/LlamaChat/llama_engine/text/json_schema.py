"""A JSON schema as llguidance takes it: checked, and only of what it keeps.

Invariant: every text of the prepared schema is JSON that the given one accepts. A keyword that
cannot be kept is refused by its name and place, never left out. Where the schema allows more than
is needed (further properties, numbers of any length), the prepared one allows less.

What comes in is walked once; `$ref`s lead into `$defs` of its own, whatever they were called.

Source: https://json-schema.org/draft/2020-12, https://github.com/guidance-ai/llguidance
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from llama_engine.errors import GrammarError
from llama_engine.text.schema_formats import FORMATS, KEPT_FORMATS
from llama_engine.text.schema_names import names_pattern
from llama_engine.text.schema_numbers import NUMERIC, as_written, bounded
from llama_engine.text.schema_options import SchemaOptions, resolve

LONGEST_SCHEMA = 100_000
"""Characters, without annotations."""
DEEPEST_SCHEMA = 60
JSON_OBJECT_SCHEMA: dict[str, Any] = {"type": "object"}
"""What `response_format` means with `json_object` and no schema."""

_UNKEPT = (
    "not if then else dependentRequired dependentSchemas dependencies contains "
    "minContains maxContains unevaluatedItems unevaluatedProperties $dynamicRef $recursiveRef"
).split()
_COUNTS = "minLength maxLength minItems maxItems minProperties maxProperties".split()
_MAPS = "properties patternProperties".split()
_COMBINING = "$ref allOf anyOf oneOf".split()
_TYPES = frozenset("string integer number boolean null array object".split())
_LOOKS_AROUND = re.compile(r"\(\?(?:<?[=!])|\\[1-9]")
_DECIMAL_GUARD = "(?!^[-+.]*$)"
"""How pydantic begins a Decimal's pattern: not of signs and points alone."""


def prepare_schema(schema: Any) -> str:
    """The schema's text for llguidance. Raises GrammarError, naming what cannot be kept."""
    try:
        prepared = _Preparation(schema).prepare()
        text = json.dumps(prepared, allow_nan=False)
    except (RecursionError, ValueError) as ex:
        if isinstance(ex, GrammarError):
            raise
        raise GrammarError(
            f"JSON schema: a value in it is no JSON, or nested too deep: {ex}"
        ) from ex
    if len(text) > LONGEST_SCHEMA:
        raise GrammarError(
            f"JSON schema: expected at most {LONGEST_SCHEMA} characters, got {len(text)}"
        )
    return text


class _Preparation:
    """One walk. Schemas behind a `$ref` wait in a list, so that no chain of them is too long."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._names: dict[tuple[str, bool], str] = {}
        self._waiting: list[tuple[str, str, bool]] = []
        self._options = SchemaOptions(root)

    def prepare(self) -> Any:
        prepared = self._visit(self._root, "$", 0, is_closed=True)
        found: dict[str, Any] = {}
        while self._waiting:
            name, ref, is_closed = self._waiting.pop()
            found[name] = self._visit(resolve(self._root, ref, ref), ref, 0, is_closed)
        return {**prepared, "$defs": found} if found else prepared

    def _visit(self, schema: Any, at: str, depth: int, is_closed: bool) -> Any:
        """A schema; `is_closed` says that properties that it does not name are left out."""
        if isinstance(schema, bool):
            return schema if depth else _only_any(schema, at)
        if not isinstance(schema, dict):
            raise GrammarError(f"JSON schema, {at}: expected an object, got {_short(schema)}")
        if depth > DEEPEST_SCHEMA:
            raise GrammarError(f"JSON schema, {at}: expected at most {DEEPEST_SCHEMA} levels")
        for keyword in _UNKEPT:
            if keyword in schema:
                raise unkept(keyword, at)
        out: dict[str, Any] = {}
        self._combining(schema, out, at, depth, is_closed)
        if is_closed and any(keyword in out for keyword in _COMBINING):
            is_closed = False
        self._plain(schema, out, at)
        self._children(schema, out, at, depth, is_closed)
        return out

    def _combining(
        self, schema: dict[str, Any], out: dict[str, Any], at: str, depth: int, is_closed: bool
    ) -> None:
        """What several schemas say of one value. Where two of them do, neither may forbid what only
        the other one names."""
        present = [keyword for keyword in schema if keyword in _KNOWN]
        is_closed = is_closed and len(present) == 1
        for keyword in present:
            if keyword == "$ref":
                out["$ref"] = self._ref(schema["$ref"], at, is_closed)
            elif keyword in _COMBINING:
                options = _list(schema, keyword, at)
                if keyword == "oneOf":
                    self._options.check_apart(options, f"{at}.oneOf")
                alone = is_closed and (keyword != "allOf" or len(options) == 1)
                visited = [
                    self._visit(each, f"{at}.{keyword}[{i}]", depth + 1, alone)
                    for i, each in enumerate(options)
                ]
                _add(out, "allOf" if keyword == "allOf" else "anyOf", visited)

    def _ref(self, ref: Any, at: str, is_closed: bool) -> str:
        resolve(self._root, ref, at)
        key = (ref, is_closed)
        if key not in self._names:
            self._names[key] = f"r{len(self._names)}"
            self._waiting.append((self._names[key], ref, is_closed))
        return f"#/$defs/{self._names[key]}"

    def _plain(self, schema: dict[str, Any], out: dict[str, Any], at: str) -> None:
        """The keywords without schemas in them."""
        for keyword, keep in _PLAIN.items():
            if keyword in schema:
                keep(schema, out, at)
        if "enum" not in schema and "const" not in schema:
            bounded(schema, out, at)

    def _children(
        self, schema: dict[str, Any], out: dict[str, Any], at: str, depth: int, is_closed: bool
    ) -> None:
        """The keywords about what is inside of an object or an array."""
        for keyword in _MAPS:
            if keyword in schema:
                out[keyword] = {
                    name: self._visit(each, f"{at}.{name}", depth + 1, True)
                    for name, each in _map(schema, keyword, at).items()
                }
        if "prefixItems" in schema:
            out["prefixItems"] = [
                self._visit(each, f"{at}[{i}]", depth + 1, True)
                for i, each in enumerate(_list(schema, "prefixItems", at))
            ]
        for keyword, place in (("items", "[]"), ("additionalProperties", ".*")):
            if keyword in schema:
                out[keyword] = self._visit(schema[keyword], at + place, depth + 1, True)
        if "propertyNames" in schema:
            self._names_of_map(schema, out, at)
        if is_closed and any(keyword in schema for keyword in _MAPS):
            out.setdefault("additionalProperties", False)

    def _names_of_map(self, schema: dict[str, Any], out: dict[str, Any], at: str) -> None:
        """Names of an object that has no properties of its own."""
        named = schema["propertyNames"]
        if isinstance(named, dict) and "$ref" in named:
            named = resolve(self._root, named["$ref"], at)
        pattern = names_pattern(named)
        if pattern is None or any(keyword in schema for keyword in (*_MAPS, "required")):
            raise unkept("propertyNames", at)
        out["patternProperties"] = {pattern: out.pop("additionalProperties", {})}
        out["additionalProperties"] = False


def unkept(keyword: str, at: str) -> GrammarError:
    """A keyword that is known, and that no reply can be held to."""
    return GrammarError(
        f"JSON schema, {at}: {keyword} cannot be kept while generating. Leave it out, and check "
        "the reply"
    )


def _only_any(schema: bool, at: str) -> dict[str, Any]:
    if schema:
        return {}
    raise GrammarError(f"JSON schema, {at}: false allows nothing")


def _add(out: dict[str, Any], keyword: str, schemas: list[Any]) -> None:
    """Beside others of its kind, where there are some: both hold."""
    if keyword == "allOf":
        out["allOf"] = [*out.get("allOf", ()), *schemas]
    elif keyword in out:
        out["allOf"] = [*out.get("allOf", ()), {keyword: schemas}]
    else:
        out[keyword] = schemas


def _list(schema: dict[str, Any], keyword: str, at: str) -> list[Any]:
    values = schema[keyword]
    if not isinstance(values, list) or not values:
        got = _short(values)
        raise GrammarError(f"JSON schema, {at}: {keyword}: expected a list of some, got {got}")
    return values


def _map(schema: dict[str, Any], keyword: str, at: str) -> dict[str, Any]:
    values = schema[keyword]
    if not isinstance(values, dict):
        got = _short(values)
        raise GrammarError(f"JSON schema, {at}: {keyword}: expected an object, got {got}")
    return values


def _type(schema: dict[str, Any], out: dict[str, Any], at: str) -> None:
    named = schema["type"]
    names = named if isinstance(named, list) else [named]
    if not names or any(not isinstance(name, str) or name not in _TYPES for name in names):
        raise GrammarError(f"JSON schema, {at}: unknown type {_short(named)}")
    out["type"] = named


def _values(schema: dict[str, Any], out: dict[str, Any], at: str) -> None:
    if "const" in schema:
        out["const"] = as_written(schema["const"], at)
    if "enum" in schema:
        out["enum"] = [as_written(value, at) for value in _list(schema, "enum", at)]


def _count(keyword: str) -> Callable[[dict[str, Any], dict[str, Any], str], None]:
    def keep(schema: dict[str, Any], out: dict[str, Any], at: str) -> None:
        value = schema[keyword]
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            got = _short(value)
            raise GrammarError(f"JSON schema, {at}: {keyword}: expected 0 or more, got {got}")
        # A key may come twice in a text, and counts once in its value.
        if keyword != "minProperties" or value == 1:
            out[keyword] = value
        elif value > len(set(schema.get("required", ()))):
            raise unkept("minProperties", at)

    return keep


def _required(schema: dict[str, Any], out: dict[str, Any], at: str) -> None:
    names = schema["required"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise GrammarError(f"JSON schema, {at}: required: expected names, got {_short(names)}")
    out["required"] = names


def _unique(schema: dict[str, Any], _out: dict[str, Any], at: str) -> None:
    if schema["uniqueItems"]:
        raise unkept("uniqueItems", at)


def _pattern(schema: dict[str, Any], out: dict[str, Any], at: str) -> None:
    pattern = schema["pattern"]
    if not isinstance(pattern, str):
        raise GrammarError(f"JSON schema, {at}: pattern: expected text, got {_short(pattern)}")
    if pattern.startswith("^" + _DECIMAL_GUARD):
        pattern = pattern.replace(_DECIMAL_GUARD, "", 1)
        _add(out, "allOf", [{"pattern": "[^-+.]"}])
    if _LOOKS_AROUND.search(pattern):
        raise unkept("pattern with look-around or a reference back", at)
    out["pattern"] = pattern


def _format(schema: dict[str, Any], out: dict[str, Any], at: str) -> None:
    name = schema["format"]
    if name in FORMATS:
        _add(out, "allOf", [{"pattern": FORMATS[name]}])
    elif name in KEPT_FORMATS:
        out["format"] = name
    else:
        raise unkept(f"format {_short(name)}", at)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


_PLAIN: dict[str, Callable[[dict[str, Any], dict[str, Any], str], None]] = {
    "type": _type,
    "enum": _values,
    "const": _values,
    "required": _required,
    "uniqueItems": _unique,
    "pattern": _pattern,
    "format": _format,
    **{keyword: _count(keyword) for keyword in _COUNTS},
}
_KNOWN = frozenset(
    [
        *_PLAIN,
        *NUMERIC,
        *_COMBINING,
        *_MAPS,
        "prefixItems",
        "items",
        "additionalProperties",
        "propertyNames",
    ]
)
