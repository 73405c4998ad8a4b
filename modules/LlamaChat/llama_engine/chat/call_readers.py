"""The calls of tools as families of models write them.

Invariant: a reader that cannot read a call reads nothing: what is there stays for others, as text.
Arguments come out as JSON, as they stand or put into it; of a call that was begun, what follows
its arguments and is not understood stays text too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from llama_engine.chat.gemma_arguments import gemma_arguments
from llama_engine.chat.reply_source import Reading, Source

_LONGEST_BODY = 1_000_000
_OBJECT_FIELDS = frozenset(("type", "id", "name", "arguments", "parameters", "function"))
_PARAMETER = re.compile(r"\s*<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>\s*", re.DOTALL)


class Calls:
    """The calls of one reply, of the tools that the request offers: their names, and the JSON
    schemas of their parameters."""

    def __init__(
        self, source: Source, tools: Mapping[str, Any], put: Callable[[int, str, str], None]
    ) -> None:
        self._source = source
        self._tools = tools
        self._put = put
        self.count = 0

    def hermes(self) -> Reading[bool]:
        """`<tool_call>` was read: JSON follows, or Qwen3-Coder's tags."""
        source = self._source
        yield from source.space()
        if (yield from source.literal("<function=")):
            is_read = yield from self._tagged()
        else:
            is_read = yield from self._object()
        yield from self._mark("</tool_call>")
        return is_read

    def llama(self) -> Reading[bool]:
        """JSON, once or more, with a semicolon between."""
        source = self._source
        if not (yield from self._object()):
            return False
        while True:
            before = source.at
            yield from self._mark(";")
            if not (yield from self._object()):
                source.at = before
                return True

    def mistral(self) -> Reading[bool]:
        """`[TOOL_CALLS]` was read: a list of JSON follows, or a name, `[ARGS]` and JSON."""
        source = self._source
        yield from source.space()
        if not (yield from source.literal("[")):
            return (yield from self._mistral_named())
        if not (yield from self._object()):
            return False
        while True:
            before = source.at
            if not ((yield from self._mark(",")) and (yield from self._object())):
                source.at = before
                break
        yield from self._mark("]")
        return True

    def _mistral_named(self) -> Reading[bool]:
        source = self._source
        name = yield from source.name()
        if (yield from source.literal("[CALL_ID]")):
            yield from source.name()
        return bool((yield from source.literal("[ARGS]")) and (yield from self._json_of(name)))

    def deepseek(self) -> Reading[bool]:
        """`<｜tool▁calls▁begin｜>` was read: calls follow, each between its own marks."""
        source, is_read = self._source, False
        while True:
            before = source.at
            if not (yield from self._deepseek_one()):
                source.at = before
                break
            is_read = True
        yield from self._mark("<｜tool▁calls▁end｜>")
        return is_read

    def _deepseek_one(self) -> Reading[bool]:
        """V3 and R1 write the kind of the tool before its name, and a fence around the JSON."""
        source = self._source
        if not (yield from self._mark("<｜tool▁call▁begin｜>")):
            return False
        yield from source.literal("function<｜tool▁sep｜>")
        name = yield from source.name()
        if not (yield from source.literal("<｜tool▁sep｜>", "\n```json")):
            return False
        if not (yield from self._json_of(name)):
            return False
        yield from self._mark("```")
        yield from self._mark("<｜tool▁call▁end｜>")
        return True

    def gemma(self, closes: str) -> Reading[bool]:
        """`call:NAME{...}`, and what closes it. Held until it is whole: it is no JSON yet."""
        source = self._source
        yield from source.space()
        if not (yield from source.literal("call:")):
            return False
        name = yield from source.name()
        body = yield from source.until(closes, _LONGEST_BODY)
        arguments = None if body is None else gemma_arguments(body.strip())
        return arguments is not None and self._whole(name, arguments)

    def to_function(self, name: str) -> Callable[[str], None] | None:
        """Begins a call whose arguments are whatever is put into it; None for no such tool."""
        if name not in self._tools:
            return None
        return self._begin(name)

    def _object(self) -> Reading[bool]:
        """`{"name": ..., "arguments": {...}}`: as it comes where the name comes first."""
        source = self._source
        yield from source.space()
        begin = source.at
        name = yield from self._head()
        if name and (yield from self._json_of(name)):
            yield from self._tail()
            return True
        source.at = begin
        if not (yield from source.begins("{")):
            return False
        end = yield from source.json()
        return end is not None and self._whole_object(source, end)

    def _head(self) -> Reading[str]:
        """The name, where the object begins with it and its arguments; else an empty one."""
        source = self._source
        for mark in ("{", '"name"', ":", '"'):
            if not (yield from self._mark(mark)):
                return ""
        name = yield from source.name()
        for marks in ('"',), (",",), ('"arguments"', '"parameters"'), (":",):
            if not (yield from self._mark(*marks)):
                return ""
        return name

    def _tail(self) -> Reading[None]:
        """What closes the object; Mistral's models write an id before that."""
        source, before = self._source, self._source.at
        if (yield from self._mark(",")):
            yield from self._identity()
        if not (yield from self._mark("}")):
            source.at = before

    def _identity(self) -> Reading[None]:
        for mark in ('"id"', ":", '"'):
            if not (yield from self._mark(mark)):
                return
        yield from self._source.name()
        yield from self._source.literal('"')

    def _whole_object(self, source: Source, end: int) -> bool:
        try:
            value = json.loads(source.text[source.at : end])
        except (ValueError, RecursionError):
            return False
        function = value.get("function", value)
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            return False
        known = _OBJECT_FIELDS.issuperset({*value, *function})
        if not known or value.get("type", "function") != "function":
            return False
        arguments = function.get("arguments", function.get("parameters", {}))
        if not self._whole(function["name"], arguments):
            return False
        source.at = end
        return True

    def _json_of(self, name: str) -> Reading[bool]:
        """The JSON that comes next, as the arguments of a new call, as far as it comes."""
        source = self._source
        yield from source.space()
        if name not in self._tools or not (yield from source.begins("{")):
            return False
        put, looking = self._begin(name), source.json()
        while True:
            try:
                next(looking)
            except StopIteration as found:
                put(source.take(len(source.text) if found.value is None else found.value))
                return True
            put(source.take(len(source.text)))
            yield

    def _tagged(self) -> Reading[bool]:
        """`<function=` was read: NAME>, parameters, `</function>`. Held until it is whole."""
        source = self._source
        name = yield from source.name()
        if name not in self._tools or not (yield from source.literal(">")):
            return False
        body = yield from source.until("</function>", _LONGEST_BODY)
        if body is None or _PARAMETER.sub("", body).strip():
            return False
        kinds = self._tools[name].get("properties", {})
        found = {key: _typed(value, kinds.get(key)) for key, value in _PARAMETER.findall(body)}
        return self._whole(name, found)

    def _whole(self, name: str, arguments: Any) -> bool:
        """A call with all of its arguments; those that are a text are JSON already."""
        if name not in self._tools:
            return False
        is_text = isinstance(arguments, str)
        self._begin(name)(arguments if is_text else json.dumps(arguments, ensure_ascii=False))
        return True

    def _begin(self, name: str) -> Callable[[str], None]:
        index, self.count = self.count, self.count + 1
        return lambda text: self._put(index, name, text)

    def _mark(self, *marks: str) -> Reading[bool]:
        """Whether one of these comes, space before it or not; else nothing is read."""
        source, before = self._source, self._source.at
        yield from source.space()
        if (yield from source.literal(*marks)):
            return True
        source.at = before
        return False


def _typed(value: str, schema: Any) -> Any:
    """A parameter between tags: JSON, unless its schema says that it is a text."""
    if isinstance(schema, dict) and schema.get("type") == "string":
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
