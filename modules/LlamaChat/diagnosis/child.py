"""A look that may crash or hang, taken by a child process.

Invariant: it ends in bounded time, and its end is told in words.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from llama_setup.programs import signal_name

_SHOWN_CHARACTERS = 300


class LookFailed(Exception):
    """The child did not say what it was asked for; the message says how it ended."""


def look(
    arguments: list[str], limit_s: float, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run this interpreter with the arguments; the JSON object in the last line that has one.

    Raises LookFailed.
    """
    command = [sys.executable, *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - our own programs
            command, capture_output=True, timeout=limit_s, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise LookFailed(f"it hangs: it has not ended within {limit_s:g} s") from None
    except OSError as error:
        raise LookFailed(f"{sys.executable} cannot be run: {error.strerror}") from None
    answer = _last_object(done.stdout)
    if answer is None:
        raise LookFailed(_end(done.returncode, done.stderr))
    return answer


def _last_object(output: bytes) -> dict[str, Any] | None:
    for line in reversed(output.decode("utf-8", errors="replace").splitlines()):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict):
            return said
    return None


def _end(code: int, errors: bytes) -> str:
    lines = errors.decode("utf-8", errors="replace").strip().splitlines()
    said = f": {lines[-1][:_SHOWN_CHARACTERS]}" if lines else ""
    if code < 0:
        return f"it was killed by {signal_name(-code)}{said}"
    return f"it ended with {code}{said}"
