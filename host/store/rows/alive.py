"""What lives, in memory, for those who wait: records with their text, places, leases, limits.

Invariants: a change is here after it is in the tables, and makes a new record: one that somebody
has read stays as it is; time is counted on the steady clock, so that a clock that is set moves no
limit. The newest of what has ended is here too.
"""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable

from sortedcontainers import SortedList

from host.commands import Command, State
from host.store.protocol import Overdue
from host.store.rows.tables import Change
from host.store.worker_leases import WorkerLeases
from host.wakeups import Wakeups

_Place = tuple[float, int, str]  # the turn, the order of acceptance, the command's id

_ENDED_KEPT = 256  # older ones are read from the tables
_ENDED_CHARS = 2**20  # a longer reply is read anew
_ENDS_REMEMBERED = 32


class Alive:
    """Everything that an answer needs which waits for no disk."""

    def __init__(self, first_lease_s: float) -> None:
        self.leases = WorkerLeases(first_lease_s)
        self.readers = Wakeups()
        self.claimers = Wakeups()
        self._commands: dict[str, Command] = {}
        self._ended: OrderedDict[str, Command] = OrderedDict()
        self._waiting: defaultdict[str, SortedList[_Place]] = defaultdict(SortedList)
        self._short: defaultdict[str, set[str]] = defaultdict(set)
        self._due: dict[str, float] = {}
        self._since: dict[str, float] = {}
        self._running: defaultdict[str, int] = defaultdict(int)
        self._ends: defaultdict[str, deque[float]] = defaultdict(
            lambda: deque(maxlen=_ENDS_REMEMBERED)
        )

    def load(self, commands: Iterable[Command]) -> None:
        """Know these and no others; their limits have run by the system's clock meanwhile."""
        for command_id in list(self._commands):
            self.apply(Change(command_id, None))
        now = time.time()
        for command in commands:
            self.apply(Change(command.id, command))
            since = command.started_at or command.queued_at
            if command.id in self._due:
                self._due[command.id] -= max(0.0, now - since)

    def apply(self, change: Change) -> None:
        """Take over what the tables have now. The record itself gets its output and its version."""
        before = self.get(change.command_id)
        if change.is_found:
            if before is None and change.command is not None:
                self._remember(change.command)
            return
        if before is not None and change.command is not None:
            change.command.version = before.version + 1
            output, news = before.output, change.news
            change.command.output = output.grown(*news) if news else output
        self._replace(before, change.command)
        self.readers.wake(change.command_id)

    def get(self, command_id: str) -> Command | None:
        """The record as it is now, where it is known here."""
        return self._commands.get(command_id) or self._ended.get(command_id)

    def has_work(self, queue: str, is_long_allowed: bool) -> bool:
        """Whether there is something to claim."""
        return bool(self._waiting[queue] if is_long_allowed else self._short[queue])

    def position(self, command_id: str) -> int:
        """1 = next; 0 for one that does not wait."""
        command = self._commands.get(command_id)
        if command is None or command.state is not State.QUEUED:
            return 0
        return int(self._waiting[command.queue].bisect_left(_place(command))) + 1

    def queued(self, queue: str) -> list[Command]:
        """Those that wait, in the order of their turns."""
        return [self._commands[place[2]] for place in self._waiting[queue]]

    def held(self, worker: str) -> list[Command]:
        """Those that a worker has claimed."""
        return [self._commands[one] for one in self.leases.held(worker)]

    def run_s(self, command: Command) -> float:
        """How long one that a worker has claimed has run, as long as this process knows of it."""
        return time.monotonic() - self._since[command.id]

    def overdue(self) -> list[Overdue]:
        """Those over their limits."""
        now = time.monotonic()
        over = [(one, now - due) for one, due in self._due.items() if due < now]
        return [Overdue(self._commands[one], over_s) for one, over_s in over]

    def counts(self, queue: str) -> tuple[int, int, float]:
        """What waits and runs, and how many end in a second: that sinks while none come."""
        ends = self._ends[queue]
        since_s = max(1e-3, time.monotonic() - ends[0]) if ends else 0.0
        rate = (len(ends) - 1) / since_s if len(ends) > 1 else 0.0
        return len(self._waiting[queue]), self._running[queue], rate

    # -- lists ----------------------------------------------------------------------------------

    def _replace(self, before: Command | None, command: Command | None) -> None:
        if before is not None and command is not None and before.state is command.state:
            self._commands[command.id] = command
            if command.is_long:  # it may have become so
                self._short[command.queue].discard(command.id)
            return
        if before is not None:
            self._take_out(before)
        if command is None:
            return
        if command.state is State.QUEUED:
            self._wait(command)
        elif command.state is State.RUNNING:
            self._run(command)
        else:
            self._end(command, before)

    def _take_out(self, command: Command) -> None:
        self._due.pop(command.id, None)
        self._since.pop(command.id, None)
        self._ended.pop(command.id, None)
        self._commands.pop(command.id, None)
        if command.state is State.QUEUED:
            self._waiting[command.queue].discard(_place(command))
            self._short[command.queue].discard(command.id)
        elif command.state is State.RUNNING:
            self._running[command.queue] -= 1
            self.leases.release(command.worker or "", command.id)

    def _wait(self, command: Command) -> None:
        self._commands[command.id] = command
        self._limit(command.id, command.max_wait_s)
        self._waiting[command.queue].add(_place(command))
        is_taken = self.claimers.wake_one(command.queue)
        if command.is_long is False:
            self._short[command.queue].add(command.id)
            if not is_taken:
                self.claimers.wake_one(short_only(command.queue))

    def _run(self, command: Command) -> None:
        self._commands[command.id] = command
        self._limit(command.id, command.max_run_s)
        self._since[command.id] = time.monotonic()
        self._running[command.queue] += 1
        self.leases.take(command.worker or "", command.id)

    def _end(self, command: Command, before: Command | None) -> None:
        if before is not None and before.state is State.RUNNING:
            self._ends[command.queue].append(time.monotonic())
        self._remember(command)

    def _limit(self, command_id: str, limit_s: float | None) -> None:
        if limit_s:
            self._due[command_id] = time.monotonic() + limit_s

    def _remember(self, command: Command) -> None:
        if command.state.is_terminal and command.output.length <= _ENDED_CHARS:
            self._ended[command.id] = command
            if len(self._ended) > _ENDED_KEPT:
                self._ended.popitem(last=False)


def short_only(queue: str) -> str:
    """The key of those who wait for short commands alone."""
    return f"short {queue}"


def _place(command: Command) -> _Place:
    return command.turn, command.number, command.id
