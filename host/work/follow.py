"""What becomes of a command: its pieces as they come, and its end, for whoever speaks whatever
protocol.

Invariant: whoever reads on from a sequence number sees every code point after it once, and the end
after all of them. Readers wait for the store, they do not ask again and again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cached_property

from host.channels import Piece
from host.commands import Command, State, UnknownCommand
from host.instances.load import RUNS, LoadWatch, Place
from host.store.protocol import CommandStore

IDLE_S = 15.0  # a reader hears at least so often that all is well


@dataclass(frozen=True)
class Look:
    """A command and its place in the queue, as of now."""

    command: Command
    place: Place


@dataclass(frozen=True)
class News(Look):
    """What a reader is told who has everything up to `since`, in code points of all channels.

    `is_new` is False for a sign that the command still goes on and nothing of it has changed.
    """

    since: int
    is_new: bool = True

    @cached_property
    def pieces(self) -> list[Piece]:
        """The texts that came after `since`."""
        return self.command.output.since(self.since)

    @property
    def sequence(self) -> int:
        """Where the reader is who has them."""
        return max(self.since, self.command.output.length)


class NoAnswer(Exception):
    """An ordinary command had not ended in time."""

    def __init__(self, command: Command, limit_s: float) -> None:
        super().__init__(f"module {command.module_id} did not answer within {limit_s:g} s")


class Follow:
    """Reads commands; nothing here changes one."""

    def __init__(self, store: CommandStore, load: LoadWatch) -> None:
        self._store = store
        self._load = load
        self.waiting = Counter[str]()
        """How many wait here for the answer of each ordinary command."""

    async def find(self, command_id: str) -> Command:
        """The command as it stands. Raises UnknownCommand."""
        command = await self._store.read(command_id)
        if command is None:
            raise UnknownCommand(command_id[:80])
        return command

    async def look(self, command: Command) -> Look:
        """The command and its place; read again where a module has taken it since."""
        if command.state is not State.QUEUED:
            return Look(command, RUNS)
        place = await self._load.place(command)
        if not place.position:
            command = await self._store.read(command.id) or command
        return Look(command, place)

    async def change(self, command: Command, wait_s: float) -> Command:
        """The command as soon as anything of it has changed, or as it is after so many seconds."""
        if command.state.is_terminal:
            return command
        return await self._store.wait(command.id, command.version, wait_s) or command

    async def answer(self, command: Command, limit_s: float) -> Command:
        """The command once it has ended, or has shown that it is a long one. Raises NoAnswer."""
        self.waiting[command.id] += 1
        try:
            return await self._answer(command, limit_s)
        finally:
            self.waiting[command.id] -= 1
            if not self.waiting[command.id]:
                del self.waiting[command.id]

    async def _answer(self, command: Command, limit_s: float) -> Command:
        deadline = asyncio.get_running_loop().time() + limit_s
        while not (command.state.is_terminal or command.is_long):
            left_s = deadline - asyncio.get_running_loop().time()
            found = await self._store.wait(command.id, command.version, left_s)
            if found is None or left_s <= 0:
                raise NoAnswer(command, limit_s)
            command = found
        return command

    async def news(self, command: Command, sequence: int) -> AsyncIterator[News]:
        """Everything that comes after `sequence`, until the end of the command, or of its record.

        May raise StoreUnavailable: the reader goes on later, from its last `sequence`.
        """
        before: tuple[int, int] | None = None
        silent_s = 0.0
        while True:
            place = await self._load.place(command)
            is_new = before != (command.version, place.position)
            if is_new or silent_s >= IDLE_S:
                silent_s = 0.0
                yield (news := News(command, place, sequence, is_new))
                sequence = news.sequence
            if command.state.is_terminal:
                return
            before = command.version, place.position
            wait_s = _look_again_s(place.position)
            found = await self._store.wait(command.id, command.version, wait_s)
            if found is None:
                return
            silent_s += wait_s if found.version == command.version else 0.0
            command = found


def _look_again_s(position: int) -> float:
    """The place in the queue moves without a change of the command itself: near the head it is
    looked at every second, far from it more seldom, so that a thousand readers cost nothing."""
    return min(IDLE_S, max(1.0, position / 10)) if position else IDLE_S
