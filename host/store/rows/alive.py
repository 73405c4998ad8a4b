"""What lives, in memory: records with their text, places in queues, leases, limits.

Invariants: a change makes a new record, so that one that somebody has read stays as it is; nobody
reads a change before it is confirmed, and one that could not be written is undone; time is counted
on the steady clock, so that a clock that is set moves no limit. The newest of what has ended is
here too.
"""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from typing import NamedTuple

from sortedcontainers import SortedList

from host.commands import Command, State
from host.store.protocol import Overdue
from host.store.worker_leases import WorkerLeases
from host.wakeups import Wakeups
from host.wire import Payload

_ENDED_KEPT = 1024  # older ones are read from the tables
ENDED_CHARS = 2**18  # a longer reply is read anew
_ENDED_CHARS_KEPT = 2**22  # of all of them together
_RECORD_CHARS = 1000  # of a record without its texts
_ENDS_REMEMBERED = 32
_RUN_WEIGHT = 0.1  # of the newest run in the mean, once there have been that many


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
        self.waiting: SortedList[tuple[float, int, str]] = SortedList()
        self.short: SortedList[tuple[float, int, str]] = SortedList()
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


class Work(NamedTuple):
    """What must be on disk before anybody hears of it."""

    commands: list[Command]
    inputs: list[tuple[Command, Payload]]
    totals: dict[str, Totals]
    news: list[Command]  # running ones that have put something out


class Found(NamedTuple):
    """What an earlier process has left."""

    commands: list[Command]
    totals: dict[str, Totals]
    last_number: int


class Alive:
    """Rules put changes here; `confirm` or `undo` follows."""

    def __init__(self, first_lease_s: float) -> None:
        self.leases = WorkerLeases(first_lease_s)
        self.readers = Wakeups()
        self.claimers = Wakeups()
        self.queues: defaultdict[str, Queue] = defaultdict(Queue)
        self.commands: dict[str, Command] = {}
        self.keys: dict[str, str] = {}  # idempotency keys of these
        self.unwritten: dict[str, Payload] = {}  # what short commands were asked
        self.unsaved: dict[str, Command] = {}  # have news that nobody waits for
        self.last_number = 0
        self._ended: OrderedDict[str, Command] = OrderedDict()
        self._ended_chars = 0
        self._due: dict[str, float] = {}
        self._begin()

    def _begin(self) -> None:
        self._before: dict[str, Command | None] = {}
        self._totals_before: dict[str, Totals] = {}
        self._rows: dict[str, Command] = {}
        self._inputs: list[tuple[Command, Payload]] = []
        self._must_save = False

    def load(self, found: Found) -> None:
        """Those of an earlier process, whose limits have run by the system's clock meanwhile."""
        self.last_number = found.last_number
        for queue, totals in found.totals.items():
            self.queues[queue].totals = totals
        for command in found.commands:
            passed_s = time.time() - (command.started_at or command.queued_at)
            command.since = time.monotonic() - max(0.0, passed_s)
            self._add(command)
            turns = self.queues[command.queue].turns
            turns[command.client] = max(command.turn, turns.get(command.client, 0.0))

    # -- changes --------------------------------------------------------------------------------

    def put(self, command: Command, *, is_row: bool = True) -> None:
        """A new record of a command; without `is_row` only its output, fields or wish are new."""
        before = self.commands.get(command.id)
        self._before.setdefault(command.id, before)
        if before is not None:
            command.version = before.version + 1
        self._replace(before, command)
        if is_short(command):
            return
        if is_row or command.id in self._rows:
            self._rows[command.id] = command
        if command.state is not State.RUNNING:
            self.unsaved.pop(command.id, None)
        elif not is_row:
            self.unsaved[command.id] = command

    def must_save(self) -> None:
        """Nobody is to hear of the news before they are saved."""
        self._must_save = True

    def put_input(self, command: Command, payload: Payload) -> None:
        """What it was asked; of a short command that is never written."""
        if is_short(command):
            self.unwritten[command.id] = payload
        else:
            self._inputs.append((command, payload))

    def put_totals(self, queue: str, totals: Totals) -> None:
        """What the queue has done."""
        self._totals_before.setdefault(queue, self.queues[queue].totals)
        self.queues[queue].totals = totals

    def work(self) -> Work | None:
        """What is to be written now; None for nothing."""
        news = list(self.unsaved.values()) if self._must_save else []
        if not (self._rows or news):
            return None
        totals = {queue: self.queues[queue].totals for queue in self._totals_before}
        return Work(list(self._rows.values()), self._inputs, totals, news)

    def confirm(self) -> None:
        """It is written: whoever waits may know."""
        if self._must_save:
            self.unsaved.clear()
        changed = list(self._before)
        for name in self._totals_before:
            self.queues[name].forget_turns()
        self._begin()
        for command_id in changed:
            self.readers.wake(command_id)
            command = self.commands.get(command_id)
            self._wake_claimer(command)
            if command is None or not is_short(command):
                self.unwritten.pop(command_id, None)
            ended = self._ended.get(command_id)
            if ended and ended.output.length > ENDED_CHARS and not is_short(ended):
                self._drop(command_id)

    def undo(self) -> None:
        """It could not be written: all is as it was."""
        for command_id, before in self._before.items():
            after = self.commands.get(command_id) or self._ended.get(command_id)
            self._replace(after, before)
            self._wake_claimer(before)
            if before is None and after is not None:
                self.queues[after.queue].turns[after.client] = after.turn - 1
                self.unwritten.pop(command_id, None)
            if before is not None and before.state is State.RUNNING and not is_short(before):
                self.unsaved[command_id] = before
        for name, totals in self._totals_before.items():
            self.queues[name].totals = totals
        self._begin()

    # -- reading --------------------------------------------------------------------------------

    def get(self, command_id: str) -> Command | None:
        """The record as it is confirmed, where it is known here."""
        if command_id in self._before:
            return self._before[command_id]
        return self.commands.get(command_id) or self._ended.get(command_id)

    def has_work(self, queue: str, is_long_allowed: bool) -> bool:
        """Whether there is something to claim."""
        found = self.queues[queue]
        return bool(found.waiting if is_long_allowed else found.short)

    def position(self, command_id: str) -> int:
        """1 = next; 0 for one that does not wait."""
        command = self.commands.get(command_id)
        if command is None or command.state is not State.QUEUED:
            return 0
        return int(self.queues[command.queue].waiting.bisect_left(_place(command))) + 1

    def queued(self, queue: str) -> list[Command]:
        """Those that wait, in the order of their turns."""
        return [self.commands[command_id] for *_, command_id in self.queues[queue].waiting]

    def held(self, worker: str) -> list[Command]:
        """Those that a worker has claimed."""
        return [self.commands[one] for one in self.leases.held(worker)]

    def overdue(self) -> list[Overdue]:
        """Those over their limits."""
        now = time.monotonic()
        over = [(one, now - due) for one, due in self._due.items() if due < now]
        return [Overdue(self.commands[one], over_s) for one, over_s in over]

    # -- lists ----------------------------------------------------------------------------------

    def kept(self) -> list[Command]:
        """All that lives, and is written."""
        return [one for one in list(self.commands.values()) if not is_short(one)]

    def remember(self, command: Command) -> None:
        """One that has ended: it may be asked for again."""
        self._drop(command.id)
        self._ended[command.id] = command
        self._ended_chars += _size(command)
        while len(self._ended) > _ENDED_KEPT or (
            self._ended_chars > _ENDED_CHARS_KEPT and len(self._ended) > 1
        ):
            self._drop(next(iter(self._ended)))

    def _drop(self, command_id: str) -> None:
        dropped = self._ended.pop(command_id, None)
        self._ended_chars -= _size(dropped) if dropped else 0

    def forget(self, command_ids: Iterable[str]) -> None:
        """Ended ones that are gone."""
        for command_id in command_ids:
            self._drop(command_id)
            self.readers.wake(command_id)

    def _replace(self, before: Command | None, after: Command | None) -> None:
        if before and after and _list_of(before) == _list_of(after):
            self.commands[after.id] = after
            return
        if before is not None:
            self._remove(before)
        if after is not None:
            self._add(after)

    def _remove(self, command: Command) -> None:
        queue = self.queues[command.queue]
        self._due.pop(command.id, None)
        self._drop(command.id)
        self.commands.pop(command.id, None)
        self.keys.pop(command.idempotency_key or "", None)
        if command.state is State.QUEUED:
            queue.waiting.discard(_place(command))
            queue.short.discard(_place(command))
        elif command.state is State.RUNNING:
            queue.running -= 1
            self.leases.release(command.worker or "", command.id)

    def _add(self, command: Command) -> None:
        if command.state.is_terminal:
            self.remember(command)
            return
        self.commands[command.id] = command
        self.last_number = max(self.last_number, command.number)
        if command.idempotency_key:
            self.keys[command.idempotency_key] = command.id
        if command.state is State.QUEUED:
            self._wait(command)
        else:
            self._limit(command, command.max_run_s)
            self.queues[command.queue].running += 1
            self.leases.take(command.worker or "", command.id)

    def _wait(self, command: Command) -> None:
        self._limit(command, command.max_wait_s)
        self.queues[command.queue].waiting.add(_place(command))
        if command.is_long is False:
            self.queues[command.queue].short.add(_place(command))

    def _wake_claimer(self, command: Command | None) -> None:
        """One that waits for such a command."""
        if command is not None and command.state is State.QUEUED:
            is_taken = self.claimers.wake_one(command.queue)
            if command.is_long is False and not is_taken:
                self.claimers.wake_one(short_only(command.queue))

    def _limit(self, command: Command, limit_s: float | None) -> None:
        if limit_s:
            self._due[command.id] = command.since + limit_s


def is_short(command: Command) -> bool:
    """Its client waits on a connection that ends with this process: nothing of it is written."""
    return command.is_long is False and command.idempotency_key is None


def _size(command: Command) -> int:
    """About how many characters a record has."""
    said = sum(len(one) for one in command.result.values() if isinstance(one, str))
    return _RECORD_CHARS + said + command.output.length


def short_only(queue: str) -> str:
    """The key of those who wait for short commands alone."""
    return f"short {queue}"


def _list_of(command: Command) -> tuple[State, bool]:
    return command.state, command.is_long is False


def _place(command: Command) -> tuple[float, int, str]:
    return command.turn, command.number, command.id
