"""What a queue has done: totals, how long its commands run, and how many end in a second."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from host.commands import Command
from host.store.protocol import QueueStats

_RUN_WEIGHT = 0.1  # of the newest run, once there have been that many
_ENDS_REMEMBERED = 32


class Tally:
    """Counts of one queue. Times are seconds since the epoch."""

    def __init__(self) -> None:
        self.running = 0
        self._ended = dict.fromkeys(("completed", "cancelled", "failed"), 0)
        self._runs = 0
        self._mean_run_s: float | None = None
        self._ends: deque[float] = deque(maxlen=_ENDS_REMEMBERED)

    def note_end(self, command: Command) -> None:
        """Count a command that has just ended; only one that ran says something about rates."""
        self._ended[command.state.value] += 1
        if command.started_at is None or command.finished_at is None:
            return
        run_s = max(0.0, command.finished_at - command.started_at)
        self._runs += 1
        weight = max(_RUN_WEIGHT, 1 / self._runs)
        before = run_s if self._mean_run_s is None else self._mean_run_s
        self._mean_run_s = before + weight * (run_s - before)
        self._ends.append(command.finished_at)

    def stats(self, queue: str, waiting: int) -> QueueStats:
        """The counts as they are now."""
        return QueueStats(
            queue=queue,
            waiting=waiting,
            running=self.running,
            **self._ended,
            mean_run_s=self._mean_run_s,
            ended_per_s=self._rate(),
        )

    def _rate(self) -> float:
        """Ends in a second, from the oldest one remembered until now: it sinks while none come."""
        if len(self._ends) < 2:
            return 0.0
        return (len(self._ends) - 1) / max(1e-3, time.time() - self._ends[0])

    def saved(self) -> dict[str, Any]:
        """What is worth keeping over a restart, as JSON."""
        return {**self._ended, "runs": self._runs, "mean_run_s": self._mean_run_s}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from what `saved` returned before."""
        for state in self._ended:
            self._ended[state] = int(saved[state])
        self._runs = int(saved["runs"])
        mean = saved["mean_run_s"]
        self._mean_run_s = None if mean is None else float(mean)
