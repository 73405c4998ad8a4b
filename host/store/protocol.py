"""What a command store can do. The store is the only truth about a command.

Every implementation passes the same tests (tests/host/store_suite.py).

A queue is served in fair turns between clients, by start-time fair queueing: a command's `turn` is
one past the turn of its client's last command, or the turn that is being served if that is later;
the lowest turn is claimed first, and of equal ones the one that came first. So a client's hundred
commands wait behind each other, and another client's one goes before most of them.
Source: Goyal, Vin, Cheng, "Start-time Fair Queueing", SIGCOMM 1996.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from host.channels import REPLY
from host.commands import CancelAnswer, Command, CommandError, NewCommand, Outcome


class QueueFull(Exception):
    """The queue holds as many waiting commands as it may; with `own`, as many of this client's
    (host.store.shares)."""

    def __init__(self, queue: str, length: int, own: int | None = None) -> None:
        whose = "" if own is None else f" for this client, who has {own} of them"
        super().__init__(f"queue {queue} is full{whose}: {length} commands wait in it already")
        self.queue, self.length, self.own = queue, length, own


class StoreUnavailable(Exception):
    """The store cannot be reached, or cannot write: nothing changed, and a retry may succeed."""


class StoreLocked(Exception):
    """Another host holds the data directory; the message says which."""


@dataclass(frozen=True)
class QueueStats:
    """What a queue does: counts of now, totals since the store was made, and measured rates.

    `mean_run_s` is an exponentially weighted mean of how long its commands ran, None before the
    first has ended; `ended_per_s` is the rate of ends over the last of them, 0.0 while unknown.
    """

    queue: str
    waiting: int
    running: int
    completed: int = 0
    cancelled: int = 0
    failed: int = 0
    mean_run_s: float | None = None
    ended_per_s: float = 0.0


class Overdue(NamedTuple):
    """A command over its limit, and by how many seconds, by the clock that counts the limit."""

    command: Command
    over_s: float


class Append(NamedTuple):
    """Text for a channel of a running command, from code point `offset` on, and fields."""

    command_id: str
    attempt: str
    offset: int
    text: str
    fields: Mapping[str, Any] = {}
    channel: str = REPLY


class Reported(NamedTuple):
    """For each append of a report its channel's length, or what was wrong; and which of the
    worker's commands are to stop."""

    found: list[int | CommandError]
    to_stop: list[str]


class Busy(NamedTuple):
    """A command that a worker has, and for how long it has run by the store's clock."""

    command_id: str
    queue: str
    run_s: float


class CommandStore(Protocol):
    """Commands and their queues. Commands returned are for reading only, and stay as they are.

    `Command.payload`, what was asked, is with those that `claim` returns, and nowhere else.

    Every operation may raise StoreUnavailable.
    """

    is_kept: bool  # whether commands outlive this host's process
    is_shared: bool  # whether other hosts work on the same commands

    async def open(self) -> None:
        """Take hold of the store and load what is in it. Raises StoreLocked."""

    async def create(self, new: NewCommand) -> Command:
        """Accept a command in its turn; a known idempotency key returns its first.

        When it returns, the command is as safe as this store makes anything. Raises QueueFull.
        """

    async def claim(
        self, queue: str, worker: str, *, wait_s: float, is_long_allowed: bool = True
    ) -> Command | None:
        """Hand the command whose turn it is to `worker`: it becomes running, under a new attempt.

        Waits at most `wait_s` seconds; None when nothing came. With `is_long_allowed` false only
        commands that are known to be short are handed out. Cancelling the wait loses no command.
        """

    async def append(
        self,
        command_id: str,
        attempt: str,
        offset: int,
        text: str,
        fields: Mapping[str, Any],
        channel: str = REPLY,
    ) -> int:
        """Put `text` at code point `offset` of a channel; what is there already changes nothing.

        Returns the channel's length in code points; a gap (offset beyond it) appends nothing, and
        the length tells where to resume. Raises UnknownCommand, StaleAttempt.
        """

    async def report(self, worker: str, appends: Sequence[Append]) -> Reported:
        """What a worker has to say of its commands, together: each append as `append` does it.

        Channels keep their order: when one append leaves a gap, the texts that follow it for the
        same command are not appended. What is wrong with one is no matter to the others.
        """

    async def finish(self, command_id: str, attempt: str | None, outcome: Outcome) -> Command:
        """End a running command under its attempt, or with None one that still waits.

        A command that was told to stop for a reason of the host's own (`Command.stop_wish`) and
        stopped, ends as `Outcome.as_wished` says. Raises UnknownCommand, StaleAttempt.
        """

    async def requeue(self, command_id: str, attempt: str, error: str | None = None) -> Command:
        """Put a running command without output back to where it was in its queue: at the head.

        With an `error` the attempt is kept, and counts; without one it never began. A wish to stop
        for a limit ends with the attempt; one that its owner wants stopped ends now.
        Raises UnknownCommand, StaleAttempt, IllegalMove (text was shown).
        """

    async def adopt(self, command_id: str) -> None:
        """Mark a command as a long process once its module's answer has shown that it is one."""

    async def cancel(self, command_id: str, wish: str = "cancelled") -> CancelAnswer:
        """End a waiting command, or note the wish on a running one. Idempotent: the first stands.

        `wish` becomes the `stop_reason` of a running one that stops for it.
        """

    async def read(self, command_id: str) -> Command | None:
        """The command as it stands, or None."""

    async def position(self, command_id: str) -> int:
        """0 = running or ended; n = the n-th of those that wait in its queue, in O(log n)."""

    async def delete(self, command_id: str) -> bool:
        """Forget an ended command for good; False when there is none, or it has not ended."""

    async def wait(self, command_id: str, version: int, timeout_s: float) -> Command | None:
        """Return as soon as the command's version is beyond `version`, or the time is over."""

    async def queued(self, queue: str) -> list[Command]:
        """The commands that wait in a queue, in the order of their turns."""

    async def running(self, worker: str) -> list[Command]:
        """The commands that a worker has claimed and not ended."""

    async def busy(self, *workers: str) -> list[Busy]:
        """What these workers have claimed and not ended, without reading any text."""

    async def workers(self) -> list[str]:
        """The workers that hold commands."""

    async def renew(self, worker: str, lease_s: float) -> None:
        """A sign of life of a worker: what it has claimed is its own for `lease_s` from now on."""

    async def lapsed(self) -> list[str]:
        """The workers that hold commands and whose lease has run out.

        A worker without a renewal has the store's first lease from its first claim. Whenever nobody
        could renew for a while, as no host ran or the store was away, every worker has it anew.
        """

    async def overdue(self) -> list[Overdue]:
        """Commands that waited longer than `max_wait_s`, or ran longer than `max_run_s`.

        Both count from when the command came into that state last. A running one is listed until
        it has ended.
        """

    async def stats(self, queue: str) -> QueueStats:
        """The queue's counts and rates."""

    async def close(self) -> None:
        """Write what is to be kept, let go of every resource; waiting readers return."""
