"""A reply split into what is thought, what is said and which tools are called, as it grows.

Invariant: nothing is lost. What cannot be read as a thought or a call stays text; only marks, and
blanks beside them, are in no channel. However the reply is cut, the channels are the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

from llama_engine.chat.call_readers import Calls
from llama_engine.chat.reply_formats import (
    CLOSES_GEMMA,
    DEEPSEEK,
    GEMMA,
    GPT_OSS,
    HERMES,
    LLAMA,
    MISTRAL,
    ReplyFormat,
)
from llama_engine.chat.reply_source import Reading, Source, held_back

_HEADER = re.compile(
    r"(?:<\|start\|>assistant)?(?: to=(?P<before>\S+?))?"
    r"<\|channel\|>(?P<channel>analysis|commentary|final)(?: to=(?P<after>\S+?))?"
    r"(?: ?<\|constrain\|>[a-z]+| [a-z]+)?"
)
_HEADER_BEGINS = ("<|start|>", "<|channel|>", " to=")
_LONGEST_HEADER = 300
_BODY_ENDS = ("<|end|>", "<|call|>", "<|return|>")
_FUNCTIONS = "functions."

_Put = Callable[[str], None]


class Piece(NamedTuple):
    """More of a channel; calls have a `number`, from 0, and their tool's `name`."""

    channel: Literal["reply", "reasoning", "tool_calls"]
    text: str
    number: int = 0
    name: str = ""


class ReplyParser:
    """One reply's. `tools` are the parameters of those that may be called, by name."""

    def __init__(
        self, form: ReplyFormat, tools: Mapping[str, Any], *, is_thinking: bool = False
    ) -> None:
        self._form = form
        self._has_calls_format = bool(tools and form.family)
        self._source = Source()
        self._pieces: list[Piece] = []
        self._calls = Calls(self._source, tools, self._put_call)
        is_channelled = form.family == GPT_OSS
        self._reading = self._channels() if is_channelled else self._thought(is_thinking)

    @property
    def has_calls(self) -> bool:
        """Whether a tool was called."""
        return self._calls.count > 0

    def push(self, text: str) -> list[Piece]:
        """More of the reply; returns what is sure by now."""
        self._source.text += text
        return self._read()

    def end(self) -> list[Piece]:
        """The reply has ended; returns what was held back. May be called twice."""
        self._source.is_ended = True
        return self._read()

    def skip(self, text: str) -> None:
        """What is in the prompt of this reply already."""
        self.push(text)
        if self._source.rest.isspace():
            self._source.take(len(self._source.text))

    def _read(self) -> list[Piece]:
        next(self._reading, None)
        pieces, self._pieces = self._pieces, []
        return [piece for piece in pieces if piece.text]

    def _reply(self, text: str) -> None:
        self._pieces.append(Piece("reply", text))

    def _reasoning(self, text: str) -> None:
        self._pieces.append(Piece("reasoning", text))

    def _put_call(self, number: int, name: str, text: str) -> None:
        self._pieces.append(Piece("tool_calls", text, number, name))

    @property
    def _is_over(self) -> bool:
        return self._source.is_ended and not self._source.rest

    def _say(self, put: _Put, *marks: str) -> Reading[None]:
        """Everything up to a mark, or to the end. Neither the mark nor space before it is read."""
        source = self._source
        while True:
            source.forget()
            found = min((at for at in map(source.text.find, marks) if at >= 0), default=None)
            if found is not None:
                put(source.take(len(source.text[:found].rstrip())))
                return
            held = 0 if source.is_ended else held_back(source.text, marks)
            put(source.take(len(source.text) - held))
            if source.is_ended:
                return
            yield

    def _thought(self, is_thinking: bool) -> Reading[None]:
        """A thought, which only the beginning can be, and what is said."""
        source = self._source
        opens, closes = self._form.thinking or ("", "")
        if is_thinking or (opens and (yield from source.literal(opens, "\n" + opens))):
            yield from source.space()
            yield from self._say(self._reasoning, closes)
            yield from source.space()
            yield from source.literal(closes)
            yield from source.space()
        yield from self._said()

    def _said(self) -> Reading[None]:
        if not self._has_calls_format:
            yield from self._say(self._reply)
            return
        before = self._source.at
        if self._form.family == LLAMA and not (yield from self._calls.llama()):
            self._source.at = before
        while not self._is_over:
            yield from self._say(self._reply, self._form.opens_call)
            yield from self._call()

    def _call(self) -> Reading[None]:
        """A call where its mark comes; one that cannot be read stays text, its mark included."""
        source, before = self._source, self._source.at
        yield from source.space()
        if (yield from source.literal(self._form.opens_call)) is None:
            source.at = before
            return
        after = source.at
        if (yield from self._read_call()):
            yield from source.space()
            return
        source.at = before
        self._reply(source.take(after))

    def _read_call(self) -> Reading[bool]:
        calls = self._calls
        readers: dict[str, Callable[[], Reading[bool]]] = {
            HERMES: calls.hermes,
            LLAMA: calls.llama,
            MISTRAL: calls.mistral,
            DEEPSEEK: calls.deepseek,
            GEMMA: partial(calls.gemma, CLOSES_GEMMA.get(self._form.opens_call, "")),
        }
        return (yield from readers[self._form.family]())

    def _channels(self) -> Reading[None]:
        """gpt-oss: messages, each with a header that says where it belongs."""
        source = self._source
        while not self._is_over:
            put = yield from self._header()
            yield from self._say(put, *_BODY_ENDS, "<|start|>")
            yield from source.space()
            yield from source.literal(*_BODY_ENDS)

    def _header(self) -> Reading[_Put]:
        """Where a message belongs; a header that cannot be read stays text."""
        source, before = self._source, self._source.at
        if (yield from source.literal(*_HEADER_BEGINS)) is None:
            return self._reply
        after, source.at = source.at, before
        header = yield from source.until("<|message|>", _LONGEST_HEADER)
        put = None if header is None else self._target(header)
        if put is not None:
            return put
        after = max(after, source.at)
        source.at = before
        self._reply(source.take(after))
        return self._reply

    def _target(self, header: str) -> _Put | None:
        found = _HEADER.fullmatch(header)
        if found is None:
            return None
        to = found["before"] or found["after"]
        if to is None:
            return self._reasoning if found["channel"] == "analysis" else self._reply
        if not to.startswith(_FUNCTIONS):
            return None
        return self._calls.to_function(to.removeprefix(_FUNCTIONS))
