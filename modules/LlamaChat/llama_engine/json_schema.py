r"""From a JSON schema to a GBNF grammar for it.

Invariant: every text of the grammar is JSON that the schema accepts. A keyword that a grammar
cannot keep is refused by its name and place, never left out. Where the schema allows more than is
needed (further properties, other spacing, numbers of any length), the grammar generates less.

Source: https://json-schema.org/draft/2020-12; grammars as llama.cpp reads them,
https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from llama_engine.errors import GrammarError

_ANNOTATIONS = frozenset(
    "title description default examples example deprecated readOnly writeOnly $schema $id "
    "$comment $defs definitions".split()
)
_MOST_REPEATS = 1_000
_DEEPEST = 60

_COMMON_RULES = {
    "ws": '" "?',
    "null": '"null"',
    "boolean": '"true" | "false"',
    "digits": "[0-9] | [1-9] [0-9]{1,14}",
    "integer": '"-"? digits',
    "number": '"-"? digits ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?',
    # No control characters, and no half of a surrogate pair.
    "char": r"""[^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" ([0-9a-cA-CefEF] [0-9a-fA-F]{3}"""
    """ | [dD] [0-7] [0-9a-fA-F]{2}))""",
    "string": r'"\"" char* "\""',
    "value": "null | boolean | number | string | array | object",
    "array": '"[" ws (value ("," ws value)*)? "]"',
    "object": r'"{" ws (string ":" ws value ("," ws string ":" ws value)*)? "}"',
    "year-month": '[0-9]{4} "-" ("0" [1-9] | "1" [0-2])',
    "date": 'year-month "-" ("0" [1-9] | "1" [0-9] | "2" [0-8])',
    "time": """([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{3})?"""
    """ ("Z" | [+-] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])""",
    "hex": "[0-9a-fA-F]",
}
_NEEDS = {
    "integer": ("digits",),
    "number": ("digits",),
    "string": ("char",),
    "array": ("ws", "value"),
    "object": ("ws", "string", "value"),
    "value": ("null", "boolean", "number", "string", "array", "object"),
    "date": ("year-month",),
}
_FORMATS = {
    "date": (r'"\"" date "\""', ("date",)),
    "time": (r'"\"" time "\""', ("time",)),
    "date-time": (r'"\"" date "T" time "\""', ("date", "time")),
    "uuid": (r'"\"" hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12} "\""', ("hex",)),
}
JSON_OBJECT_SCHEMA: dict[str, Any] = {"type": "object"}
"""What `response_format` means with `json_object` and no schema."""


def schema_grammar(schema: Any) -> str:
    """The grammar of a schema. Raises GrammarError, naming what it cannot keep."""
    return _Converter(schema).convert()


class _Converter:
    def __init__(self, schema: Any) -> None:
        self._root = schema
        self._rules: dict[str, str] = {}
        self._refs: dict[str, str] = {}
        self._depth = 0

    def convert(self) -> str:
        body = self._visit(self._root, "$")
        self._rules["root"] = body
        return "".join(f"{name} ::= {rule}\n" for name, rule in self._rules.items())

    def _visit(self, schema: Any, at: str) -> str:
        """An expression for a schema."""
        if schema is True:
            schema = {}
        if not isinstance(schema, dict):
            raise GrammarError(f"JSON schema, {at}: expected an object, got {schema!r}")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise GrammarError(f"JSON schema, {at}: expected at most {_DEEPEST} levels")
        kind = self._kind(schema, at)
        expression = kind(schema, at)
        self._depth -= 1
        return expression

    def _kind(self, schema: dict[str, Any], at: str) -> Callable[[dict[str, Any], str], str]:
        for keyword, kind in (
            ("$ref", self._ref),
            ("const", self._const),
            ("enum", self._enum),
            ("anyOf", self._any_of),
            ("allOf", self._all_of),
        ):
            if keyword in schema:
                return kind
        named = schema.get("type", _implied_type(schema))
        if isinstance(named, list):
            return self._types
        kinds = {
            None: self._anything,
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "number": self._plain,
            "integer": self._plain,
            "boolean": self._plain,
            "null": self._plain,
        }
        if not isinstance(named, (str, type(None))) or named not in kinds:
            raise GrammarError(f"JSON schema, {at}: unknown type {named!r}")
        return kinds[named]

    def _common(self, name: str) -> str:
        """Use one of the common rules, and those it needs."""
        if name not in self._rules:
            self._rules[name] = _COMMON_RULES[name]
            for needed in _NEEDS.get(name, ()):
                self._common(needed)
        return name

    def _add(self, rule: str) -> str:
        """A rule of its own for an expression."""
        name = f"r{len(self._rules)}"
        self._rules[name] = rule
        return name

    def _anything(self, schema: dict[str, Any], at: str) -> str:
        _only(schema, (), at)
        return self._common("value")

    def _plain(self, schema: dict[str, Any], at: str) -> str:
        _only(schema, ("type",), at)
        return self._common(str(schema["type"]))

    def _types(self, schema: dict[str, Any], at: str) -> str:
        _only(schema, ("type",), at)
        kinds = [self._visit({"type": each}, at) for each in schema["type"]]
        return _either(kinds, at, "type")

    def _any_of(self, schema: dict[str, Any], at: str) -> str:
        _only(schema, ("anyOf",), at)
        options = _list(schema, "anyOf", at)
        return _either(
            [self._visit(each, f"{at}.anyOf[{i}]") for i, each in enumerate(options)], at, "anyOf"
        )

    def _all_of(self, schema: dict[str, Any], at: str) -> str:
        """Of a single schema only, as generators write it around a reference."""
        _only(schema, ("allOf",), at)
        parts = _list(schema, "allOf", at)
        if len(parts) != 1:
            raise _unkept("allOf", at)
        return self._visit(parts[0], f"{at}.allOf[0]")

    def _const(self, schema: dict[str, Any], at: str) -> str:
        return self._enum({**_without(schema, "const"), "enum": [schema["const"]]}, at)

    def _enum(self, schema: dict[str, Any], at: str) -> str:
        _only(schema, ("enum", "type"), at)
        values = _list(schema, "enum", at)
        wanted = schema.get("type")
        if wanted is not None:
            values = [value for value in values if _has_type(value, wanted)]
        return _either([_literal(_json(value, at)) for value in values], at, "enum")

    def _ref(self, schema: dict[str, Any], at: str) -> str:
        _only(schema, ("$ref",), at)
        ref = schema["$ref"]
        if ref not in self._refs:
            target = self._resolve(ref, at)
            name = self._refs[ref] = self._add('""')
            depth, self._depth = self._depth, 0
            self._rules[name] = self._visit(target, str(ref))
            self._depth = depth
        return self._refs[ref]

    def _resolve(self, ref: Any, at: str) -> Any:
        if not isinstance(ref, str) or not ref.startswith("#"):
            raise GrammarError(f"JSON schema, {at}: $ref must be within the schema, got {ref!r}")
        target = self._root
        for part in ref[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, dict) or key not in target:
                raise GrammarError(f"JSON schema, {at}: $ref {ref!r} leads nowhere")
            target = target[key]
        return target

    def _string(self, schema: dict[str, Any], at: str) -> str:
        if "format" in schema:
            _only(schema, ("type", "format"), at)
            if schema["format"] not in _FORMATS:
                raise _unkept(f"format {schema['format']!r}", at)
            expression, needs = _FORMATS[schema["format"]]
            for needed in needs:
                self._common(needed)
            return expression
        _only(schema, ("type", "minLength", "maxLength"), at)
        if "minLength" not in schema and "maxLength" not in schema:
            return self._common("string")
        least, most = _bounds(schema, "minLength", "maxLength", at)
        return rf'"\"" {self._common("char")}{_times(least, most)} "\""'

    def _array(self, schema: dict[str, Any], at: str) -> str:
        if "prefixItems" in schema:
            return self._tuple(schema, at)
        _only(schema, ("type", "items", "minItems", "maxItems", "uniqueItems"), at)
        if schema.get("uniqueItems"):
            raise _unkept("uniqueItems", at)
        least, most = _bounds(schema, "minItems", "maxItems", at)
        item = self._add(self._visit(schema.get("items", {}), f"{at}[]"))
        ws = self._common("ws")
        if most == 0:
            return f'"[" {ws} "]"'
        more = f'("," {ws} {item}){_times(max(least - 1, 0), None if most is None else most - 1)}'
        body = f"{item} {more}"
        return f'"[" {ws} ' + (body if least else f"({body})?") + ' "]"'

    def _tuple(self, schema: dict[str, Any], at: str) -> str:
        """All of `prefixItems`, and nothing after them."""
        _only(schema, ("type", "prefixItems", "items", "minItems", "maxItems"), at)
        parts = _list(schema, "prefixItems", at)
        least, most = _bounds(schema, "minItems", "maxItems", at)
        if least > len(parts) or (most is not None and most < len(parts)):
            raise _unkept("minItems and maxItems beside prefixItems", at)
        ws = self._common("ws")
        items = [self._visit(part, f"{at}[{i}]") for i, part in enumerate(parts)]
        return f'"[" {ws} ' + f' "," {ws} '.join(f"({item})" for item in items) + ' "]"'

    def _object(self, schema: dict[str, Any], at: str) -> str:
        _only(schema, ("type", "properties", "required", "additionalProperties"), at)
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        for name in required:
            if name not in properties:
                raise GrammarError(f"JSON schema, {at}: required {name!r} is not in properties")
        if properties:
            return self._members(properties, frozenset(required), at)
        more = schema.get("additionalProperties", True)
        if more is False or "properties" in schema:
            return f'"{{" {self._common("ws")} "}}"'
        return self._map(more, at)

    def _map(self, values: Any, at: str) -> str:
        """An object of any keys with values of one schema."""
        if values is True or values == {}:
            return self._common("object")
        value = self._add(self._visit(values, f"{at}.*"))
        ws, key = self._common("ws"), self._common("string")
        pair = self._add(f'{key} ":" {ws} {value}')
        return f'"{{" {ws} ({pair} ("," {ws} {pair})*)? "}}"'

    def _members(self, properties: dict[str, Any], required: frozenset[str], at: str) -> str:
        """The properties in their order, optional ones or not. Two chains of rules: what may follow
        a property (with a comma before it), and what may come first."""
        ws = self._common("ws")
        following, first = "", ""
        for name, schema in reversed(properties.items()):
            value = self._visit(schema, f"{at}.{name}")
            pair = self._add(f'{_literal(_json(name, at))} ":" {ws} ({value})')
            begins = f"{pair} {following}".strip()
            if name in required:
                first = begins
                following = self._add(f'"," {ws} {begins}')
            else:
                first = f"{begins} | ({first})" if first else f"({begins})?"
                after = f"({following})" if following else '""'
                following = self._add(f'"," {ws} {begins} | {after}')
            first = self._add(first)
        return f'"{{" {ws} {first} "}}"'


def _implied_type(schema: dict[str, Any]) -> str | None:
    """The type that a schema without `type` is meant for, by its keywords."""
    for keywords, named in (
        (("properties", "additionalProperties", "required"), "object"),
        (("items", "prefixItems", "minItems", "maxItems"), "array"),
        (("minLength", "maxLength", "format"), "string"),
    ):
        if any(keyword in schema for keyword in keywords):
            return named
    return None


def _only(schema: dict[str, Any], allowed: tuple[str, ...], at: str) -> None:
    """Refuse every keyword but these and annotations."""
    for keyword in schema:
        if keyword not in allowed and keyword not in _ANNOTATIONS:
            raise _unkept(keyword, at)


def _unkept(keyword: str, at: str) -> GrammarError:
    return GrammarError(
        f"JSON schema, {at}: {keyword} cannot be kept while generating. Leave it out, and check "
        "the reply"
    )


def _without(schema: dict[str, Any], keyword: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != keyword}


def _list(schema: dict[str, Any], keyword: str, at: str) -> list[Any]:
    values = schema[keyword]
    if not isinstance(values, list) or not values:
        raise GrammarError(f"JSON schema, {at}: {keyword}: expected a list of some, got {values!r}")
    return values


def _bounds(schema: dict[str, Any], least: str, most: str, at: str) -> tuple[int, int | None]:
    low, high = schema.get(least, 0), schema.get(most)
    for name, value in ((least, low), (most, high)):
        if value is None and name == most:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise GrammarError(f"JSON schema, {at}: {name}: expected 0 or more, got {value!r}")
        if value > _MOST_REPEATS:
            raise GrammarError(
                f"JSON schema, {at}: {name}: expected at most {_MOST_REPEATS}, got {value}"
            )
    if high is not None and high < low:
        raise GrammarError(f"JSON schema, {at}: {most} {high} is less than {least} {low}")
    return low, high


def _times(least: int, most: int | None) -> str:
    if most is None:
        return "*" if least == 0 else f"{{{least},}}"
    return f"{{{least},{most}}}"


def _either(options: list[str], at: str, keyword: str) -> str:
    if not options:
        raise GrammarError(f"JSON schema, {at}: {keyword} allows nothing")
    return options[0] if len(options) == 1 else "(" + " | ".join(options) + ")"


def _json(value: Any, at: str) -> str:
    """The text of a constant; characters as they are where UTF-8 has them."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError as ex:
        raise GrammarError(f"JSON schema, {at}: {value!r} is not JSON") from ex
    is_text = text.encode("utf-8", errors="ignore").decode() == text
    return text if is_text else json.dumps(value)


def _literal(text: str) -> str:
    escaped = re.sub(r'[\\"]', lambda match: "\\" + match.group(), text)
    return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r") + '"'


def _has_type(value: Any, wanted: Any) -> bool:
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, float),
        "boolean": (bool,),
        "null": (type(None),),
        "array": (list,),
        "object": (dict,),
    }
    names = wanted if isinstance(wanted, list) else [wanted]
    if isinstance(value, bool):
        return "boolean" in names
    return any(isinstance(value, kinds.get(str(name), ())) for name in names)
