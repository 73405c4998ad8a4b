"""What llama.cpp writes to standard error by itself, past its log, while it reads what a client
sent.

Invariant: it quotes that client, so it is returned, and comes into no log. Of what other threads
write in that moment nothing else can be told apart: it is returned with it.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

STDERR = 2
_lock = threading.Lock()


def heard(job: Callable[[], _T]) -> tuple[_T, str]:
    """The job's result, and what was written meanwhile."""
    with _lock, tempfile.TemporaryFile() as kept:
        before = os.dup(STDERR)
        try:
            os.dup2(kept.fileno(), STDERR)
            result = job()
        finally:
            os.dup2(before, STDERR)
            os.close(before)
        kept.seek(0)
        return result, kept.read().decode("utf-8", "replace")
