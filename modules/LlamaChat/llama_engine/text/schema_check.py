"""Whether a schema is safe to compile within this process.

Invariant: what passes was compiled in a child process within its limits of time, memory and stack.
A pattern of fifty characters can take minutes or end the process (both were seen); whether it will
is for nobody to see beforehand.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_engine.errors import GrammarError
from llama_engine.text import schema_trial
from llama_engine.text.json_schema import prepare_schema

if TYPE_CHECKING:
    from llguidance import LLMatcher
    from llguidance._lib import JsonCompileOptions

_TIMEOUT_S = 30.0
"""Beside the limit on the processor's time: for a machine that is busy."""
SPACING: JsonCompileOptions = {
    "whitespace_flexible": False,
    "item_separator": ", ?",
    "key_separator": ": ?",
    "coerce_one_of": False,
    "lenient": False,
}
"""A space at most, after a comma or a colon: where JSON allows any number, a model with no opinion
would never end."""
_trying = threading.Lock()
"""One at a time, whoever asks for how many."""


def schema_grammar(schema: Any) -> str:
    """A grammar for llguidance that is safe to compile. Blocks for a fraction of a second.

    Raises GrammarError, naming what cannot be kept.
    """
    matcher = _matcher()
    text = prepare_schema(schema)
    return _safe(lambda: matcher.grammar_from_json_schema(text, overrides=SPACING))


def lark_grammar(text: str) -> str:
    """The same of a grammar of llguidance's own, with prepared schemas in it."""
    matcher = _matcher()
    return _safe(lambda: matcher.grammar_from_lark(text))


def _matcher() -> type[LLMatcher]:
    try:
        from llguidance import LLMatcher
    except (ImportError, OSError) as ex:
        raise GrammarError(
            "tool_choice and response_format: this installation lacks the package llguidance, or "
            f"it cannot be used ({ex}). Run the install script again, or ask with a grammar instead"
        ) from ex
    return LLMatcher


def _safe(make: Callable[[], str]) -> str:
    try:
        grammar = make()
    except ValueError as ex:
        raise GrammarError(f"JSON schema: {ex}") from ex
    with _trying:
        _try(grammar)
    return grammar


@functools.lru_cache(maxsize=256)
def _try(grammar: str) -> None:
    """Raise GrammarError unless a child process can compile it."""
    try:
        child = subprocess.run(  # noqa: S603
            [sys.executable, "-I", str(Path(schema_trial.__file__).resolve())],
            input=grammar.encode("utf-8"),
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _too_much(f"it took more than {_TIMEOUT_S:g} s") from None
    fault = child.stdout.decode("utf-8", errors="replace")
    if child.returncode != 0 or child.stderr:
        raise _too_much(f"its trial ended with {child.returncode}")
    if fault:
        raise GrammarError(f"JSON schema: {' '.join(fault.split()):.500}")


def _too_much(how: str) -> GrammarError:
    return GrammarError(
        f"JSON schema: it is too much work ({how}; {schema_trial.CPU_S} s and "
        f"{schema_trial.MEMORY_BYTES >> 20} MiB are the limits, and so is the depth of what its "
        "references lead to). Simplify its patterns and its combinations"
    )
