"""Renders chat templates, in a process of its own: run as a script by `template_process`.

Invariant: each line of input, a request as JSON, gives one line of output: the text, or what is
wrong with the template. It imports nothing of the engine.

The environment is that of Hugging Face's transformers, for which templates are written.
Source: https://huggingface.co/docs/transformers/chat_templating_writing
"""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import time
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

CPU_S = 2
MEMORY_BYTES = 1024**3


class _TooMuch(Exception):
    """A limit was reached, whatever the messages are."""


class _Generation(Extension):
    """`{% generation %}` marks what a training learns, and is nothing more here."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Whatever a template must not touch is an error at once, not an empty text."""

    def unsafe_undefined(self, obj: Any, attribute: str) -> NoReturn:
        kind = type(obj).__name__
        raise SecurityError(f"it reaches for {attribute!r} of a {kind}, which is forbidden")


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Without the escapes for HTML that Jinja's own has."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


@functools.lru_cache(maxsize=8)
def _compiled(template: str) -> Template:
    environment = _Sandbox(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    return environment.from_string(template)


def rendered(template: str, variables: dict[str, Any], now: str, most_chars: int) -> str:
    """The template's text. Raises what the template raises."""
    date = datetime.fromisoformat(now)
    parts: list[str] = []
    count = 0
    for part in _compiled(template).generate(**variables, strftime_now=date.strftime):
        count += len(part)
        if count > most_chars:
            raise _TooMuch(f"it writes more than {most_chars} characters")
        parts.append(part)
    return "".join(parts)


def _answer(line: bytes) -> dict[str, str]:
    try:
        return {"text": rendered(**json.loads(line))}
    except MemoryError:
        return {"stopped": f"it takes more than {MEMORY_BYTES >> 20} MiB of memory"}
    except RecursionError:
        return {"stopped": "it calls itself too often"}
    except _TooMuch as ex:
        return {"stopped": str(ex)}
    except Exception as ex:  # a template is a program: it raises what it likes
        return {"error": str(ex) or type(ex).__name__}


def _limit(what: str, soft: int, hard: int | None = None) -> None:
    """Where the system can: elsewhere the parent's clock is the only limit."""
    if sys.platform == "win32":
        return
    import resource

    with contextlib.suppress(ValueError, OSError):
        kind = getattr(resource, what)
        resource.setrlimit(kind, (soft, resource.getrlimit(kind)[1] if hard is None else hard))


def main() -> None:
    """Answer until the input ends."""
    _limit("RLIMIT_AS", MEMORY_BYTES, MEMORY_BYTES)
    _limit("RLIMIT_CORE", 0, 0)
    for line in sys.stdin.buffer:
        # Of this request alone; nobody else may be there any more to stop it.
        _limit("RLIMIT_CPU", int(time.process_time()) + 1 + CPU_S)
        sys.stdout.buffer.write(json.dumps(_answer(line)).encode("ascii") + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
