"""How often a module's process has failed in a row, and when it is launched again.

Invariant: pauses only grow until a run was stable, or somebody starts the module. A module that has
failed too often is given up: each launch from then on is one more try, after minutes.
"""

from __future__ import annotations

from host.processes.supervision import RestartPolicy


class FailureRow:
    """Of one module process."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self.failures = 0
        self._tries = 0

    def begin(self) -> None:
        """Somebody starts the module: what was wrong may have been repaired."""
        self.failures = self._tries = 0

    def fail(self, *, was_stable: bool) -> None:
        """A launch has ended by itself."""
        if was_stable:
            self.begin()
        self.failures += 1

    @property
    def is_given_up(self) -> bool:
        return self.failures >= self._policy.max_failures

    def pause_s(self) -> float:
        """How long to wait before the next launch."""
        return self._policy.pause_s(self.failures)

    def next_try_s(self) -> float | None:
        """How long to leave it alone, longer each time; None: until somebody starts it."""
        if not self._policy.first_try_s:
            return None
        self._tries += 1
        return min(self._policy.first_try_s * 2.0 ** (self._tries - 1), self._policy.max_try_s)
