"""What a command store can do. The store is the only truth about a command.

Every implementation passes the same tests (tests/host/store_suite.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from host.commands import CancelAnswer, Command, NewCommand, Outcome


class QueueFull(Exception):
    """The queue holds as many waiting commands as it may."""

    def __init__(self, queue: str, length: int) -> None:
        super().__init__(f"queue {queue} is full: {length} commands wait in it already")
        self.queue, self.length = queue, length


class CommandStore(Protocol):
    """Commands and their queues. Commands returned are for reading only."""

    async def create(self, new: NewCommand) -> Command:
        """Accept a command at the tail of its queue; a known idempotency key returns its first.

        Raises QueueFull.
        """

    async def claim(
        self, queue: str, worker: str, *, wait_s: float, is_long_allowed: bool = True
    ) -> Command | None:
        """Hand the first waiting command to `worker`: it becomes running, under a new attempt.

        Waits at most `wait_s` seconds; None when nothing came. With `is_long_allowed` false only
        commands that are known to be short are handed out. Cancelling the wait loses no command.
        """

    async def append(
        self, command_id: str, attempt: str, offset: int, text: str, fields: Mapping[str, Any]
    ) -> int:
        """Put `text` at code point `offset` of the reply; what is there already changes nothing.

        Returns the reply's length in code points; a gap (offset beyond it) appends nothing, and
        the length tells where to resume. Raises UnknownCommand, StaleAttempt.
        """

    async def finish(self, command_id: str, attempt: str, outcome: Outcome) -> Command:
        """End a running command. Raises UnknownCommand, StaleAttempt."""

    async def requeue(self, command_id: str, attempt: str) -> Command:
        """Put a running command without text back to the head of its queue.

        Raises UnknownCommand, StaleAttempt, IllegalMove (text was shown).
        """

    async def adopt(self, command_id: str) -> None:
        """Mark a command as a long process once its module's answer has shown that it is one."""

    async def cancel(self, command_id: str) -> CancelAnswer:
        """End a waiting command, or note the wish on a running one. Idempotent."""

    async def fail(self, command_id: str, error: str) -> Command:
        """End a waiting or running command with a fault that is not its module's to report.

        A command that has ended stays as it is. Raises UnknownCommand.
        """

    async def read(self, command_id: str) -> Command | None:
        """The command as it stands, or None."""

    async def position(self, command_id: str) -> int:
        """0 = running or ended; n = the n-th of those that wait in its queue."""

    async def delete(self, command_id: str) -> bool:
        """Forget an ended command for good; False when there is none, or it has not ended."""

    async def wait(self, command_id: str, version: int, timeout_s: float) -> Command | None:
        """Return as soon as the command's version is beyond `version`, or the time is over."""

    async def queued(self, queue: str) -> list[Command]:
        """The commands that wait in a queue, in order."""

    async def running(self, worker: str) -> list[Command]:
        """The commands that a worker has claimed and not ended."""

    async def close(self) -> None:
        """Let go of every resource; waiting readers return."""
