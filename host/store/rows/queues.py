"""A queue: what waits in it in fair turns (host.store.protocol), and what it has done."""

from __future__ import annotations

import time
from collections import deque
from typing import NamedTuple

from sortedcontainers import SortedList

from host.commands import State

_ENDS_REMEMBERED = 32
_RUN_WEIGHT = 0.1  # of the newest run in the mean, once there have been that many

Place = tuple[float, int, str]  # by turn, then by acceptance; the command's id


class Totals(NamedTuple):
    """The turn that a queue has reached, and what it has done since the store was made."""

    serving: float = 0.0
    completed: int = 0
    cancelled: int = 0
    failed: int = 0
    runs: int = 0
    mean_run_s: float | None = None

    def with_end(self, state: State, run_s: float | None) -> Totals:
        """After one more end; the mean is weighted as in scripts/common.lua."""
        counted = self._replace(**{state.value: getattr(self, state.value) + 1})
        if run_s is None:
            return counted
        runs, mean_s = self.runs + 1, run_s if self.mean_run_s is None else self.mean_run_s
        mean_s += max(_RUN_WEIGHT, 1 / runs) * (run_s - mean_s)
        return counted._replace(runs=runs, mean_run_s=mean_s)


class Queue:
    """What waits, by turn and then by acceptance; of it what is known to be short."""

    def __init__(self) -> None:
        self.waiting: SortedList[Place] = SortedList()
        self.short: SortedList[Place] = SortedList()
        self.turns: dict[str, float] = {}  # of each client the last
        self.running = 0
        self.ends: deque[float] = deque(maxlen=_ENDS_REMEMBERED)
        self.totals = Totals()

    def ended_per_s(self) -> float:
        """How many end in a second: that sinks while none come."""
        if len(self.ends) < 2:
            return 0.0
        return (len(self.ends) - 1) / max(1e-3, time.monotonic() - self.ends[0])

    def forget_turns(self) -> None:
        """Those that make no difference to their clients any more."""
        if not self.waiting:
            self.turns.clear()
        elif len(self.turns) > 2 * len(self.waiting):
            kept_from = self.totals.serving - 1
            self.turns = {client: one for client, one in self.turns.items() if one > kept_from}
