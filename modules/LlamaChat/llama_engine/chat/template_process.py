"""Chat templates are rendered in a child process, which may end badly.

Invariant: a template can take no more than its child's limits of time, memory and output, whatever
it does: it is a program that came with a model. One that overruns them is stopped, and the next
request gets a new child.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from llama_engine.errors import TemplateError

TIMEOUT_S = 10.0
"""Of the clock, for a machine that is busy; the child's own limit is on the processor's time."""
_SPARE_CHARS = 1_000_000
_MOST_TIMES = 8
"""A prompt may be so many times as long as what it is made of, beside the spare characters."""
_CHILD = Path(__file__).with_name("template_child.py")


class TemplateStoppedError(TemplateError):
    """The template reached a limit: other messages would not help it."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The model's chat template was stopped: {why}. Use another model, or another build of "
            "this one"
        )


class TemplateProcess:
    """Renders for any number of threads, one at a time. Starts its child when it is wanted."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._asking = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._end: weakref.finalize[..., TemplateProcess] | None = None

    def render(self, template: str, variables: Mapping[str, Any], now: datetime) -> str:
        """The template's text. Raises TemplateError, and of these TemplateStoppedError."""
        given = json.dumps(variables)
        request = {
            "template": template,
            "variables": variables,
            "now": now.isoformat(),
            "most_chars": _SPARE_CHARS + _MOST_TIMES * len(given),
        }
        with self._asking:
            answer = self._ask(json.dumps(request).encode("ascii") + b"\n")
        if "error" in answer:
            why = answer["error"]
            raise TemplateError(f"The model's chat template refuses the messages: {why}")
        if "stopped" in answer:
            raise TemplateStoppedError(answer["stopped"])
        return answer["text"]

    def close(self) -> None:
        """End the child. May be called twice."""
        with self._asking:
            self._end_child()

    def _ask(self, line: bytes) -> dict[str, str]:
        child = self._child
        if child is None or child.poll() is not None:
            child = self._start()
        watch = threading.Timer(self._timeout_s, child.kill)
        watch.start()
        try:
            answer = _exchange(child, line)
        finally:
            watch.cancel()
        if answer:
            return dict(json.loads(answer))
        self._end_child()
        raise TemplateStoppedError("it took more than the time that one may take")

    def _start(self) -> subprocess.Popen[bytes]:
        self._child = subprocess.Popen(  # noqa: S603
            [sys.executable, str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._end = weakref.finalize(self, _end, self._child)
        return self._child

    def _end_child(self) -> None:
        self._child = None
        if self._end is not None:
            self._end()


def _exchange(child: subprocess.Popen[bytes], line: bytes) -> bytes:
    """The answer; empty where the child has ended without one."""
    if child.stdin is None or child.stdout is None:
        raise AssertionError("the child has pipes")
    try:
        child.stdin.write(line)
        child.stdin.flush()
        return child.stdout.readline()
    except OSError:
        return b""


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    try:
        child.communicate()
    except (OSError, ValueError):  # what was not written any more
        child.wait()
