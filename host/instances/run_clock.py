"""How long commands have run, so that a system clock that is set changes nothing.

Invariant: from the first time that an attempt is noted here it is counted on the steady clock. One
that was claimed elsewhere, or by the process before this one, is noted when it is first asked for,
with the age that its record shows then.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict

from host.commands import Command

MOST_KEPT = 10_000  # attempts, of which only those that still run are ever asked for


class RunClock:
    """Of one host."""

    def __init__(self) -> None:
        self._since: OrderedDict[str, float] = OrderedDict()
        self.begun: Counter[str] = Counter()
        """How many commands of each queue were claimed through this host."""

    def begin(self, command: Command) -> None:
        """The command was claimed now."""
        self.begun[command.queue] += 1
        self._note(command, 0.0)

    def elapsed_s(self, command: Command) -> float:
        """How long a running command has run."""
        if command.attempt not in self._since:
            age_s = time.time() - command.started_at if command.started_at else 0.0
            self._note(command, max(0.0, age_s))
        return time.monotonic() - self._since[command.attempt or ""]

    def _note(self, command: Command, age_s: float) -> None:
        self._since[command.attempt or ""] = time.monotonic() - age_s
        if len(self._since) > MOST_KEPT:
            self._since.popitem(last=False)
