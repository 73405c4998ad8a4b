"""The rules of commands and queues: turns, claims, limits, ends. Each is one step on what lives.

They read like the scripts that state them for Redis (host/store/redis/scripts). Invariant: a rule
raises what is wrong before it changes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

from host.commands import (
    CancelAnswer,
    Command,
    CommandError,
    NewCommand,
    Outcome,
    StaleAttempt,
    State,
    UnknownCommand,
)
from host.store.protocol import Append, QueueFull
from host.store.rows.alive import Alive
from host.store.shares import PLACES_FOR_ANYBODY, is_within_share


def create(alive: Alive, new: NewCommand, max_length: int) -> Command:
    """A new command in its turn, or the first with its key. Raises QueueFull."""
    if new.idempotency_key and new.idempotency_key in alive.keys:
        return alive.commands[alive.keys[new.idempotency_key]]
    queue = alive.queues[new.queue]
    if len(queue.waiting) >= max_length:
        raise QueueFull(new.queue, len(queue.waiting))

    # start-time fair queueing: one past the client's last turn, or the one that is being served
    command, serving = Command.create(new), queue.totals.serving
    _check_share(alive, new, queue.turns.get(new.client, serving - 1) - serving + 2, max_length)
    command.turn = max(serving, queue.turns.get(new.client, serving - 1) + 1)
    command.number = alive.last_number = alive.last_number + 1
    queue.turns[new.client] = command.turn
    alive.put(command)
    alive.put_input(command, new.payload)
    return command


def claim(alive: Alive, queue: str, worker: str, is_long_allowed: bool) -> Command | None:
    """The command whose turn it is, made running under a new attempt."""
    command_id, found = alive.next(queue, is_long_allowed), alive.queues[queue]
    if command_id is None:
        return None
    serving = max(found.totals.serving, found.waiting[0][0])
    command = copy(alive.commands[command_id])
    command.begin(worker)
    alive.put(command)
    alive.put_totals(queue, found.totals._replace(serving=serving))
    return command


def append(alive: Alive, new: Append) -> int:
    """Text at an offset of a channel, in code points; that channel's length. What is there already
    changes nothing."""
    command = _under(alive, new.command_id, new.attempt)
    length = len(command.output.texts.get(new.channel, ""))
    news = new.text[length - new.offset :] if new.offset <= length else ""
    fields = {**command.fields, **new.fields}
    if news or fields != command.fields:
        if news and not command.output.length:
            alive.must_save()  # once somebody has seen text of it, it must not start again
        command.fields = fields
        command.output = command.output.grown(new.channel, news) if news else command.output
        alive.put(command, is_row=False)
    return length + len(news)


def report(alive: Alive, appends: Sequence[Append]) -> list[int | CommandError]:
    """Appends together. After one that leaves a gap, no text of the same command follows."""
    found: list[int | CommandError] = []
    has_gap: set[str] = set()
    for one in appends:
        try:
            length = append(alive, one._replace(text="") if one.command_id in has_gap else one)
        except CommandError as error:
            found.append(error)
        else:
            found.append(length)
            if length < one.offset + len(one.text):
                has_gap.add(one.command_id)
    return found


def finish(alive: Alive, command_id: str, attempt: str | None, outcome: Outcome) -> Command:
    """End a running command under its attempt, or with None one that waits."""
    return _end(alive, _under(alive, command_id, attempt), outcome)


def requeue(alive: Alive, command_id: str, attempt: str, error: str | None) -> Command:
    """Back to its place. An attempt that failed is kept with its error; one that never began, not.

    What its owner wants stopped ends now; a limit that the attempt ran into ends with it.
    """
    command = _under(alive, command_id, attempt)
    if command.stop_wish == "cancelled" and not command.output.length:
        return _end(alive, command, Outcome.cancelled())
    command.put_back(error)
    alive.put(command)
    return command


def adopt(alive: Alive, command_id: str) -> None:
    """Mark a command as a long process: from now on it is one that is kept."""
    command = _known(alive, command_id)
    if not (command.is_long or command.state.is_terminal):
        command.is_long = True
        alive.put(command)
        if command_id in alive.unwritten:
            alive.put_input(command, alive.unwritten[command_id])


def cancel(alive: Alive, command_id: str, wish: str) -> CancelAnswer:
    """End a waiting command, or note the wish on a running one; the first wish stands."""
    command = _known(alive, command_id)
    if command.state.is_terminal:
        has_stopped = command.state is State.CANCELLED
        return CancelAnswer.CANCELLED if has_stopped else CancelAnswer.ALREADY_FINISHED
    if command.state is State.QUEUED:
        _end(alive, command, Outcome.cancelled())
        return CancelAnswer.CANCELLED
    if not command.stop_wish:
        command.stop_wish = wish
        alive.put(command, is_row=False)
    return CancelAnswer.REQUESTED


# -- what they share ------------------------------------------------------------------------------


def _known(alive: Alive, command_id: str) -> Command:
    """One to be changed."""
    if command_id not in alive.commands:
        raise UnknownCommand(command_id)
    return copy(alive.commands[command_id])


def _under(alive: Alive, command_id: str, attempt: str | None) -> Command:
    """One under its current attempt; what waits has none."""
    command = _known(alive, command_id)
    if command.state.is_terminal or command.attempt != attempt:
        raise StaleAttempt(command_id)
    return command


def _check_share(alive: Alive, new: NewCommand, ahead: float, max_length: int) -> None:
    """Raise QueueFull for a client with its share. Its turns are at least as many as what waits of
    it, which is counted where they may be too many."""
    waiting = alive.queues[new.queue].waiting
    room = (len(waiting) + 1, max_length, PLACES_FOR_ANYBODY)
    if not is_within_share(ahead, *room):
        own = sum(alive.commands[command_id].client == new.client for *_, command_id in waiting)
        if not is_within_share(own + 1, *room):
            raise QueueFull(new.queue, len(waiting), own)


def _end(alive: Alive, command: Command, outcome: Outcome) -> Command:
    queue, began = alive.queues[command.queue], command.since
    has_run = command.state is State.RUNNING
    command.end(outcome)
    run_s = command.since - began if has_run else None
    alive.put(command)
    alive.put_totals(command.queue, queue.totals.with_end(command.state, run_s))
    if has_run:
        queue.ends.append(command.since)
    return command
