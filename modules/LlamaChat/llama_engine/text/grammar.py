"""Whether a GBNF grammar is safe to hand to llama.cpp.

Invariant: what passes neither ends the process nor fills its memory: length, nesting, and what the
repetitions expand to are bounded. Whether it parses is for llama.cpp to say.
"""

from __future__ import annotations

import re

from llama_engine.errors import GrammarError

LONGEST_GRAMMAR = 100_000
DEEPEST_NESTING = 100
LARGEST_EXPANSION = 50_000
MOST_RULES = 5_000

_TOKEN = re.compile(
    r"""(?P<skip>"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|\#[^\n]*|\s+)"""
    r"""|(?P<open>\()|(?P<close>\))|(?P<times>\{\s*\d+\s*(?:,\s*\d*)?\s*\})|(?P<rule>::=)"""
    r"""|(?P<other>.)""",
    re.VERBOSE,
)


def check_grammar(text: str) -> None:
    """Raise GrammarError for a grammar that must not be tried."""
    if not text.strip():
        raise GrammarError("grammar: expected GBNF rules, got an empty text")
    if len(text) > LONGEST_GRAMMAR:
        raise GrammarError(
            f"grammar: expected at most {LONGEST_GRAMMAR} characters, got {len(text)}"
        )
    if "\0" in text:
        raise GrammarError("grammar: expected text, got a NUL character")
    _Scan(text).check()


class _Scan:
    """Walks over a grammar once, keeping the nesting and what each level expands to."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._levels = [0]
        """Items at each open level, repetitions multiplied out."""
        self._last = 0
        """Items of what a repetition that comes now would repeat."""
        self._rules = 0

    def check(self) -> None:
        for token in _TOKEN.finditer(self._text):
            kind = token.lastgroup or "other"
            getattr(self, f"_{kind}")(token)
        if self._rules == 0:
            raise GrammarError("grammar: expected rules such as root ::= ..., got none")

    def _skip(self, token: re.Match[str]) -> None:
        if token.group()[0] in '"[':
            self._item(len(token.group()))

    def _other(self, _token: re.Match[str]) -> None:
        self._item(1)

    def _item(self, size: int) -> None:
        self._last = size
        self._add(size)

    def _open(self, _token: re.Match[str]) -> None:
        self._levels.append(0)
        if len(self._levels) > DEEPEST_NESTING:
            raise GrammarError(f"grammar: expected at most {DEEPEST_NESTING} nested groups")

    def _close(self, _token: re.Match[str]) -> None:
        if len(self._levels) < 2:
            raise GrammarError("grammar: got a ) without its (")
        self._item(self._levels.pop())

    def _rule(self, _token: re.Match[str]) -> None:
        self._rules += 1
        if self._rules > MOST_RULES:
            raise GrammarError(f"grammar: expected at most {MOST_RULES} rules")

    def _times(self, token: re.Match[str]) -> None:
        bounds = [int(number) for number in re.findall(r"\d+", token.group())]
        times = bounds[-1]
        if times < bounds[0]:
            raise GrammarError(f"grammar: expected a range, got {token.group()}")
        self._add(self._last * (times - 1 if times else 0))
        self._last *= max(times, 1)

    def _add(self, size: int) -> None:
        self._levels[-1] += size
        if sum(self._levels) > LARGEST_EXPANSION + len(self._text):
            raise GrammarError(
                f"grammar: its repetitions expand to more than {LARGEST_EXPANSION} items"
            )
