"""How long what a worker has claimed remains its own. Deadlines are on the steady clock."""

from __future__ import annotations

import time


class WorkerLeases:
    """One lease for each worker that holds commands; it is renewed by signs of life."""

    def __init__(self, first_lease_s: float) -> None:
        self._first_lease_s = first_lease_s
        self._until: dict[str, float] = {}
        self._held: dict[str, set[str]] = {}  # worker -> ids of commands

    def take(self, worker: str, command_id: str) -> None:
        """A worker holds a command; one without a lease has its first from now on."""
        if self._until.get(worker, 0.0) < time.monotonic():
            self.renew(worker, self._first_lease_s)
        self._held.setdefault(worker, set()).add(command_id)

    def release(self, worker: str, command_id: str) -> None:
        """It holds the command no longer."""
        held = self._held.get(worker, set())
        held.discard(command_id)
        if not held:
            self._held.pop(worker, None)

    def renew(self, worker: str, lease_s: float) -> None:
        """A lease is made longer only."""
        until = time.monotonic() + lease_s
        self._until[worker] = max(until, self._until.get(worker, 0.0))

    def workers(self) -> list[str]:
        """Those that hold commands."""
        return list(self._held)

    def held(self, worker: str) -> list[str]:
        """Ids of the commands that the worker holds."""
        return list(self._held.get(worker, ()))

    def lapsed(self) -> list[str]:
        """Workers that hold commands and whose lease has run out."""
        now = time.monotonic()
        over = {worker for worker, until in self._until.items() if until < now}
        for worker in over - self._held.keys():
            del self._until[worker]
        return [worker for worker in self._held if self._until[worker] < now]
