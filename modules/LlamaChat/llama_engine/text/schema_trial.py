"""A schema tried in a process of its own, which may end badly: run as a script by `schema_check`.

Invariant: the script's one line of output is what is wrong with the grammar on its input, empty
where nothing is. It imports nothing of the engine.
"""

from __future__ import annotations

import contextlib
import random
import sys
import threading
import time
from typing import Any

CPU_S = 3
MEMORY_BYTES = 2 * 1024**3
_STEPS = 40
_LONGEST_STEP_S = 0.2
"""The engine's other replies wait for a step."""
_STACK_BYTES = 512 * 1024
"""Half of what a thread has where it has least, so that what passes here passes there."""


def limits() -> Any:
    """What one reply's parser may take: tens of milliseconds a step, tens of MiB in all."""
    from llguidance import LLParserLimits

    return LLParserLimits(
        step_lexer_fuel=50_000,
        step_max_items=20_000,
        max_lexer_states=20_000,
        verbose_errors=False,
    )


def fault_of(grammar: str) -> str:
    """Compile it over single bytes and take some steps."""
    from llguidance import LLMatcher, LLTokenizer

    matcher = LLMatcher(LLTokenizer("byte"), grammar, log_level=0, limits=limits())
    dice = random.Random(0)  # noqa: S311
    for _ in range(_STEPS):
        if matcher.is_stopped():
            break
        before = time.process_time()
        mask = matcher.compute_bitmask()
        if time.process_time() - before > _LONGEST_STEP_S:
            return "its patterns take too long to follow; simplify them"
        bits = int.from_bytes(mask, "little")
        allowed = [byte for byte in range(256) if bits >> byte & 1]
        if not allowed:
            break
        matcher.consume_token(dice.choice(allowed))
    return str(matcher.get_error())


def _limit_resources() -> None:
    """Where the system can: elsewhere the parent's clock is the only limit."""
    if sys.platform == "win32":
        return
    import resource

    for kind, most in ((resource.RLIMIT_CPU, CPU_S), (resource.RLIMIT_AS, MEMORY_BYTES)):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Try what comes in."""
    _limit_resources()
    grammar = sys.stdin.buffer.read().decode("utf-8")
    threading.stack_size(_STACK_BYTES)
    thread = threading.Thread(target=lambda: sys.stdout.write(fault_of(grammar)))
    thread.start()
    thread.join()


if __name__ == "__main__":
    main()
