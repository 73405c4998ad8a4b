"""The commands that wait in one queue, in fair turns between clients (host.store.protocol).

Invariant: the lowest turn is first, and of equal turns the command that was accepted first. Every
operation but listing them all takes O(log n).
"""

from __future__ import annotations

from sortedcontainers import SortedList

from host.commands import Command

_Place = tuple[float, int, str]  # the turn, the order of acceptance, the command's id

_TURNS_KEPT = 1000  # of clients without a waiting command, before they are looked through


def _place(command: Command) -> _Place:
    return command.turn, command.number, command.id


class FairQueue:
    """Places of waiting commands; the commands themselves are kept elsewhere.

    `coming` counts commands that have a turn and are still being written.
    """

    def __init__(self) -> None:
        self._places: SortedList[_Place] = SortedList()
        self._short: SortedList[_Place] = SortedList()  # of those that are known to be short
        self._last_turns: dict[str, float] = {}  # by client
        self._serving = 0.0  # the turn that was last at the head when a command was claimed
        self.coming = 0

    def __len__(self) -> int:
        return len(self._places)

    def give_turn(self, command: Command) -> None:
        """Set the turn of a new command: one past its client's last, or the one being served."""
        last = self._last_turns.get(command.client)
        command.turn = self._serving if last is None else max(self._serving, last + 1)
        self._last_turns[command.client] = command.turn

    def add(self, command: Command) -> None:
        """Let a command wait in its turn."""
        self._places.add(_place(command))
        if command.is_long is False:
            self._short.add(_place(command))
        last = self._last_turns.get(command.client, command.turn)
        self._last_turns[command.client] = max(last, command.turn)

    def remove(self, command: Command) -> None:
        """A command waits no longer; one that does not wait changes nothing."""
        self._places.discard(_place(command))
        self._short.discard(_place(command))

    def first(self, is_long_allowed: bool = True) -> str | None:
        """The id of the command whose turn it is."""
        places = self._places if is_long_allowed else self._short
        return places[0][2] if places else None

    def serve(self, command: Command) -> None:
        """Take a command out to be run, and note whose turn it was.

        A short command may be taken before its turn: that moves nobody's turn.
        """
        self.resume()
        self.remove(command)
        self._forget_old_turns()

    def resume(self) -> None:
        """Serve the turn of the first that waits; also after all were added anew."""
        if self._places:
            self._serving = max(self._serving, self._places[0][0])

    def place(self, command: Command) -> int:
        """1 = next; a command that does not wait would have that place."""
        return int(self._places.bisect_left(_place(command))) + 1

    def ids(self) -> list[str]:
        """All that wait, in the order of their turns."""
        return [place[2] for place in self._places]

    def _forget_old_turns(self) -> None:
        """Clients come and go: keep the turns that still make a difference to somebody."""
        if not self._places and not self.coming:
            self._last_turns.clear()
        elif len(self._last_turns) > 2 * len(self._places) + _TURNS_KEPT:
            serving = self._serving
            self._last_turns = {c: t for c, t in self._last_turns.items() if t > serving}
