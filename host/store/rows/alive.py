"""What lives, in memory: records with their text, places in queues, leases, limits.

Invariants: a change makes a new record, so that one that somebody has read stays as it is; nobody
reads a change before it is confirmed, and one that could not be written is undone; time is counted
on the steady clock, so that a clock that is set moves no limit. The newest of what has ended is
here too.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from host.commands import Command, State
from host.store.protocol import Overdue
from host.store.rows.queues import Place, Queue, Totals
from host.store.worker_leases import WorkerLeases
from host.wakeups import Wakeups
from host.wire import Payload

_ENDED_CHARS_KEPT = 2**22  # of all that have ended: older ones are read from the tables
_RECORD_CHARS = 1000  # of a record without its texts


@dataclass
class Changes:
    """What must be on disk before anybody hears of it, and what was there before."""

    rows: dict[str, Command] = field(default_factory=dict)
    inputs: list[tuple[Command, Payload]] = field(default_factory=list)
    totals: dict[str, Totals] = field(default_factory=dict)
    news: list[tuple[Command, Command]] = field(default_factory=list)  # as saved last, and as it is
    before: dict[str, Command | None] = field(default_factory=dict)
    totals_before: dict[str, Totals] = field(default_factory=dict)
    must_save: bool = False


class Alive:
    """Rules put changes here at any time; between `begin` and `confirm` or `undo` some are being
    written."""

    def __init__(self, first_lease_s: float) -> None:
        self.leases = WorkerLeases(first_lease_s)
        self.readers, self.claimers = Wakeups(), Wakeups()
        self.queues: defaultdict[str, Queue] = defaultdict(Queue)
        self.commands: dict[str, Command] = {}
        self.keys: dict[str, str] = {}  # idempotency keys of these
        self.unwritten: dict[str, Payload] = {}  # what short commands were asked
        self.unsaved: dict[str, Command] = {}  # of those with news: as they were saved last
        self.last_number = 0
        self._ended: dict[str, int] = {}  # the oldest first: characters
        self._ended_chars = 0
        self._due: dict[str, float] = {}
        self._changes, self._writing = Changes(), Changes()

    def load(self, commands: Iterable[Command], totals: dict[str, Totals], last: int) -> None:
        """Those of an earlier process, whose limits have run by the system's clock meanwhile."""
        self.last_number = last
        for queue, done in totals.items():
            self.queues[queue].totals = done
        for command in commands:
            passed_s = time.time() - (command.started_at or command.queued_at)
            command.since = time.monotonic() - max(0.0, passed_s)
            self._enter(command)
            turns = self.queues[command.queue].turns
            turns[command.client] = max(command.turn, turns.get(command.client, 0.0))

    # -- changes --------------------------------------------------------------------------------

    def put(self, command: Command, *, is_row: bool = True) -> None:
        """A new record of a command; without `is_row` only its output, fields or wish are new."""
        before, rows = self.commands.get(command.id), self._changes.rows
        self._changes.before.setdefault(command.id, before)
        command.version = before.version + 1 if before else 0
        self._replace(before, command)
        if is_short(command):
            return
        if is_row or command.id in rows:
            rows[command.id] = command
        elif before is not None:
            self.unsaved.setdefault(command.id, before)

    def must_save(self) -> None:
        """Nobody is to hear of the news before they are saved."""
        self._changes.must_save = True

    def put_input(self, command: Command, payload: Payload) -> None:
        """What it was asked; of a short command that is never written."""
        if is_short(command):
            self.unwritten[command.id] = payload
        else:
            self._changes.inputs.append((command, payload))

    def put_totals(self, queue: str, totals: Totals) -> None:
        """What the queue has done."""
        self._changes.totals_before.setdefault(queue, self.queues[queue].totals)
        self._changes.totals[queue] = self.queues[queue].totals = totals

    def begin(self) -> Changes:
        """What is to be written now."""
        self._writing, self._changes = self._changes, Changes()
        if self._writing.must_save:
            saved = {one: was for one, was in self.unsaved.items() if one not in self._writing.rows}
            self._writing.news = [(was, self.commands[one]) for one, was in saved.items()]
        return self._writing

    def confirm(self) -> None:
        """It is written: whoever waits may know."""
        written, self._writing = self._writing, Changes()
        for saved in (*written.rows.values(), *(new for _, new in written.news)):
            if self.unsaved.pop(saved.id, None) and self.commands.get(saved.id, saved) is not saved:
                self.unsaved[saved.id] = saved
        for name in written.totals_before:
            self.queues[name].forget_turns()
        for command_id in written.before:
            self.readers.wake(command_id)
            command = self.get(command_id)
            self._wake_claimer(command)
            if command is None or command.state.is_terminal or not is_short(command):
                self.unwritten.pop(command_id, None)

    def undo(self) -> None:
        """It could not be written: all is as it was, before what came meanwhile too."""
        later, first = self._changes, self._writing
        self._changes, self._writing = Changes(), Changes()
        for command_id, before in {**later.before, **first.before}.items():
            after = self.commands.get(command_id)
            self._replace(after, before)
            self._wake_claimer(before)
            if before is None and after is not None:
                self.queues[after.queue].turns[after.client] = after.turn - 1
                self.unwritten.pop(command_id, None)
        for name, totals in {**later.totals_before, **first.totals_before}.items():
            self.queues[name].totals = totals

    def remember(self, command: Command) -> None:
        """One that ended long ago is asked for again."""
        if command.id not in self.commands:
            self._enter(command)

    def forget(self, command_ids: Iterable[str]) -> None:
        """Ended ones that are gone."""
        for command_id in command_ids:
            self._replace(self.commands.get(command_id), None)
            self.readers.wake(command_id)

    # -- reading --------------------------------------------------------------------------------

    def get(self, command_id: str) -> Command | None:
        """The record as it is confirmed, where it is known here."""
        for changes in (self._writing, self._changes):
            if command_id in changes.before:
                return changes.before[command_id]
        return self.commands.get(command_id)

    def next(self, queue: str, is_long_allowed: bool) -> str | None:
        """The command whose turn it is."""
        found = self.queues[queue]
        waiting = found.waiting if is_long_allowed else found.short
        return waiting[0][2] if waiting else None

    def position(self, command_id: str) -> int:
        """1 = next; 0 for one that does not wait. As `get` has it: one whose claim is being written
        is next."""
        command = self.get(command_id)
        if command is None or command.state is not State.QUEUED:
            return 0
        return int(self.queues[command.queue].waiting.bisect_left(_place(command))) + 1

    def queued(self, queue: str) -> list[Command]:
        """Those that wait, in the order of their turns."""
        return [self.commands[command_id] for *_, command_id in self.queues[queue].waiting]

    def held(self, worker: str) -> list[Command]:
        """Those that a worker has claimed."""
        return [self.commands[one] for one in self.leases.held(worker)]

    def kept(self, *states: State) -> list[Command]:
        """All in these states that are written."""
        known = list(self.commands.values())
        return [one for one in known if one.state in states and not is_short(one)]

    def overdue(self) -> list[Overdue]:
        """Those over their limits."""
        now = time.monotonic()
        over = [(one, now - due) for one, due in self._due.items() if due < now]
        return [Overdue(self.commands[one], over_s) for one, over_s in over]

    # -- lists ----------------------------------------------------------------------------------

    def _replace(self, before: Command | None, after: Command | None) -> None:
        if before and after and (before.state, before.is_long) == (after.state, after.is_long):
            self.commands[after.id] = after
            return
        if before is not None:
            self._leave(before)
        if after is not None:
            self._enter(after)

    def _leave(self, command: Command) -> None:
        queue = self.queues[command.queue]
        del self.commands[command.id]
        self.keys.pop(command.idempotency_key or "", None)
        self._due.pop(command.id, None)
        self._ended_chars -= self._ended.pop(command.id, 0)
        if command.state is State.QUEUED:
            queue.waiting.discard(_place(command))
            queue.short.discard(_place(command))
        elif command.state is State.RUNNING:
            queue.running -= 1
            self.leases.release(command.worker or "", command.id)

    def _enter(self, command: Command) -> None:
        queue, limit_s = self.queues[command.queue], None
        self.commands[command.id] = command
        if command.idempotency_key:
            self.keys[command.idempotency_key] = command.id
        if command.state is State.QUEUED:
            limit_s = command.max_wait_s
            queue.waiting.add(_place(command))
            if command.is_long is False:
                queue.short.add(_place(command))
        elif command.state is State.RUNNING:
            limit_s = command.max_run_s
            queue.running += 1
            self.leases.take(command.worker or "", command.id)
        else:
            self._keep_ended(command)
        if limit_s:
            self._due[command.id] = command.since + limit_s

    def _keep_ended(self, command: Command) -> None:
        said = sum(len(one) for one in command.result.values() if isinstance(one, str))
        self._ended[command.id] = chars = _RECORD_CHARS + said + command.output.length
        self._ended_chars += chars
        while self._ended_chars > _ENDED_CHARS_KEPT and len(self._ended) > 1:
            self._leave(self.commands[next(iter(self._ended))])

    def _wake_claimer(self, command: Command | None) -> None:
        """One that waits for such a command."""
        if command is not None and command.state is State.QUEUED:
            is_taken = self.claimers.wake_one(command.queue)
            if command.is_long is False and not is_taken:
                self.claimers.wake_one(short_only(command.queue))


def is_short(command: Command) -> bool:
    """Its client waits on a connection that ends with this process: nothing of it is written."""
    return command.is_long is False and command.idempotency_key is None


def short_only(queue: str) -> str:
    """The key of those who wait for short commands alone."""
    return f"short {queue}"


def _place(command: Command) -> Place:
    return command.turn, command.number, command.id
