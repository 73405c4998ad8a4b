"""The rules of commands and queues: turns, claims, limits, ends. Each is one step on the tables.

They read like the scripts that state them for Redis (host/store/redis/scripts). Invariants: a rule
raises what is wrong before it writes anything; whoever is to hear of a change hears `db.changed`;
what must be on disk before anybody hears of it says `db.hold()`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from host.channels import REPLY, Piece
from host.commands import (
    CancelAnswer,
    Command,
    CommandError,
    IllegalMove,
    Outcome,
    StaleAttempt,
    State,
    UnknownCommand,
)
from host.store.protocol import Append, QueueFull, StoreUnavailable
from host.store.rows.records import (
    INSERT,
    UPDATE,
    BrokenRecord,
    as_json,
    command_of,
    inserted,
    stored,
    text_of,
    updated,
)
from host.store.rows.tables import Tables
from host.wire import Payload

_RUN_WEIGHT = 0.1  # of the newest run in the mean, once there have been that many
_PIECE_CHARS = 2**20  # a reply that a module gives at once is no one row of any size
_AT_ONCE = 1000  # commands that leave in one step
_SHORT = "is_long = 0 AND idempotency_key IS NULL"  # commands that end with this process


def is_short(command: Command) -> bool:
    """Its client waits on a connection that ends with this process: nobody waits for the disk."""
    return command.is_long is False and command.idempotency_key is None


def create(db: Tables, command: Command, payload: Payload, max_length: int) -> Command | str:
    """A new command in its turn, or the id of the first with its key. Raises QueueFull."""
    if command.idempotency_key:
        key = stored(command.idempotency_key)
        known = db.one("SELECT id FROM commands WHERE idempotency_key = ?", key)
        if known:
            return text_of(known["id"])
    if db.is_full:
        raise StoreUnavailable("the disk is full: commands can end and be deleted, none can begin")
    queue, client = stored(command.queue), stored(command.client)
    row = db.one("SELECT waiting, serving FROM queues WHERE queue = ?", queue)
    waiting, serving = (row["waiting"], row["serving"]) if row else (0, 0.0)
    if waiting >= max_length:
        raise QueueFull(command.queue, waiting)

    # start-time fair queueing: one past the client's last turn, or the one that is being served
    last = db.one("SELECT turn FROM turns WHERE queue = ? AND client = ?", queue, client)
    command.turn = max(serving, last["turn"] + 1) if last else serving
    db.write("INSERT OR REPLACE INTO turns VALUES (?, ?, ?)", queue, client, command.turn)
    command.number = db.write(INSERT, *inserted(command))
    _keep_input(db, command, payload)
    _count(db, command.queue, waiting=1)
    _changed(db, command)
    return command


def claim(
    db: Tables, queue: str, worker: str, attempt: str, is_long_allowed: bool
) -> tuple[Command, Payload] | None:
    """The command whose turn it is, made running, and what it was asked."""
    waiting = "SELECT * FROM commands WHERE queue = ? AND state = 'queued'"
    first = " ORDER BY turn, number LIMIT 1"
    head = db.one(waiting + first, stored(queue))
    row = (
        head
        if head is None or is_long_allowed
        else db.one(waiting + " AND is_long = 0" + first, stored(queue))
    )
    if head is None or row is None:
        return None
    command = command_of(row)
    try:
        payload = db.input(command.number)
    except BrokenRecord as error:
        _end(db, command, Outcome.failed(f"what the command was asked cannot be read: {error}"))
        return None
    command.move(State.RUNNING)
    command.attempt, command.worker = attempt, worker
    command.attempts += 1
    db.write(UPDATE, *updated(command))
    _serve(db, queue, head["turn"])
    _changed(db, command)
    return command, payload


def append(
    db: Tables,
    command_id: str,
    attempt: str,
    offset: int,
    text: str,
    fields: Mapping[str, Any],
    channel: str,
) -> int:
    """Text at an offset of a channel, in code points; that channel's length. What is there already
    changes nothing."""
    command = _claimed(db, command_id, attempt)
    length = db.length(command, channel)
    news = text[length - offset :] if offset <= length else ""
    changes = {key: value for key, value in fields.items() if command.fields.get(key) != value}
    if changes:
        command.fields.update(changes)
        values = (as_json(command.fields), command.number)
        db.write("UPDATE commands SET fields = ? WHERE number = ?", *values)
    if news and not length and not is_short(command):
        db.hold()  # once somebody has seen text of it, it must not start again
    if news:
        _add(db, command, length, Piece(channel, news))
    if news or changes:
        db.changed(command, Piece(channel, news) if news else None)
    return length + len(news)


def report(db: Tables, appends: Sequence[Append]) -> list[int | CommandError]:
    """Appends together. After one that leaves a gap, no text of the same command follows."""
    found: list[int | CommandError] = []
    has_gap: set[str] = set()
    for one in appends:
        text = "" if one.command_id in has_gap else one.text
        try:
            length = append(db, *one._replace(text=text))
        except CommandError as error:
            found.append(error)
            continue
        found.append(length)
        if length < one.offset + len(one.text):
            has_gap.add(one.command_id)
    return found


def finish(db: Tables, command_id: str, attempt: str | None, outcome: Outcome) -> Command:
    """End a running command under its attempt, or with None one that waits."""
    if attempt is not None:
        return _end(db, _claimed(db, command_id, attempt), outcome)
    command = _known(db, command_id)
    if command.state is not State.QUEUED:
        raise StaleAttempt(command_id)
    return _end(db, command, outcome)


def requeue(db: Tables, command_id: str, attempt: str, error: str | None) -> Command:
    """Back to its place. An attempt that failed is kept with its error; one that never began, not.

    What its owner wants stopped ends now; a limit that the attempt ran into ends with it.
    """
    command = _claimed(db, command_id, attempt)
    if _has_output(db, command):
        raise IllegalMove(command.id, command.state, State.QUEUED)
    if command.stop_wish == "cancelled":
        return _end(db, command, Outcome.cancelled())
    command.put_back(error)
    db.write(UPDATE, *updated(command))
    _count(db, command.queue, waiting=1)
    _changed(db, command)
    return command


def adopt(db: Tables, command_id: str) -> None:
    """Mark a command as a long process: from now on it is one that is kept."""
    command = _known(db, command_id)
    if command.is_long or command.state.is_terminal:
        return
    was_short, payload = is_short(command), db.input(command.number)
    command.is_long = True
    db.write(UPDATE, *updated(command))
    if was_short:
        _keep_input(db, command, payload)
    db.changed(command)


def cancel(db: Tables, command_id: str, wish: str) -> CancelAnswer:
    """End a waiting command, or note the wish on a running one; the first wish stands."""
    command = db.find(command_id)
    if command is None:
        return CancelAnswer.UNKNOWN
    if command.state is State.QUEUED:
        _end(db, command, Outcome.cancelled())
    if command.state is State.CANCELLED:
        return CancelAnswer.CANCELLED
    if command.state.is_terminal:
        return CancelAnswer.ALREADY_FINISHED
    if not command.stop_wish:
        command.stop_wish = wish
        db.write("UPDATE commands SET stop_wish = ? WHERE number = ?", stored(wish), command.number)
        db.changed(command)
    return CancelAnswer.REQUESTED


def delete(db: Tables, command_id: str) -> bool:
    """Forget an ended command."""
    command = db.find(command_id)
    if command is None or not command.state.is_terminal:
        return False
    db.remove("number = ?", command.number)
    if not is_short(command):
        db.hold(must_scrub=True)
    return True


def read(db: Tables, command_id: str) -> Command | None:
    """A command with its text."""
    command = db.find(command_id)
    if command is not None:
        command.output = db.output(command)
        db.found(command)
    return command


def stats(db: Tables, queue: str) -> dict[str, Any]:
    """A queue's totals since the store was made."""
    row = db.one("SELECT * FROM queues WHERE queue = ?", stored(queue))
    names = ("completed", "cancelled", "failed", "mean_run_s")
    return {one: row[one] for one in names} if row else {}


def forget_short(db: Tables) -> None:
    """Those whose client waited on a connection that ended with the last process."""
    for row in db.all(f"SELECT id, state FROM commands WHERE {_SHORT}"):  # noqa: S608
        drop(db, row["id"], is_waiting=row["state"] == State.QUEUED.value)


def drop(db: Tables, command_id: str, *, is_waiting: bool) -> None:
    """Forget a command that nobody can go on with, in whatever state it is."""
    row = db.one("SELECT queue FROM commands WHERE id = ?", command_id)
    if row and is_waiting:
        _count(db, text_of(row["queue"]), waiting=-1)
    db.remove("id = ?", command_id)
    db.hold()


def tidy(db: Tables, keep_s: float, max_bytes: float) -> bool:
    """Remove what was kept long enough, and the oldest while there are too many bytes.

    True when there is more to remove: it takes a part at a time.
    """
    removed = db.remove("finished_at < ?", time.time() - keep_s, limit=_AT_ONCE)
    has_more = db.trim(max_bytes) or removed == _AT_ONCE
    if db.connection.in_transaction:
        db.hold(must_scrub=True)
    return has_more


# -- what they share ------------------------------------------------------------------------------


def _known(db: Tables, command_id: str) -> Command:
    command = db.find(command_id)
    if command is None:
        raise UnknownCommand(command_id)
    return command


def _claimed(db: Tables, command_id: str, attempt: str) -> Command:
    command = _known(db, command_id)
    if command.state is not State.RUNNING or command.attempt != attempt:
        raise StaleAttempt(command_id)
    return command


def _has_output(db: Tables, command: Command) -> bool:
    return db.one("SELECT 1 FROM pieces WHERE command = ?", command.number) is not None


def _changed(db: Tables, command: Command, news: Piece | None = None) -> None:
    if not is_short(command):
        db.hold()
    db.changed(command, news)


def _add(db: Tables, command: Command, length: int, news: Piece) -> None:
    """Put text behind what its channel has."""
    last = db.one("SELECT max(sequence) AS last FROM pieces WHERE command = ?", command.number)
    sequence = (last["last"] if last else None) or 0
    for start in range(0, len(news.text), _PIECE_CHARS):
        part = news.text[start : start + _PIECE_CHARS]
        sequence, ends_at = sequence + len(part), length + start + len(part)
        values = (command.number, sequence, stored(news.channel), ends_at, stored(part))
        db.write("INSERT INTO pieces VALUES (?, ?, ?, ?, ?)", *values)


def _end(db: Tables, command: Command, outcome: Outcome) -> Command:
    outcome = outcome.as_wished(command.stop_wish)
    was_waiting = command.state is State.QUEUED
    result, news = outcome.result, None
    reply = result.get("reply")
    if isinstance(reply, str) and reply.startswith(text := db.output(command).reply):
        news = Piece(REPLY, reply[len(text) :])
        _add(db, command, len(text), news)
        if command.is_long:  # its readers get the text: it need not be there twice
            result = {key: value for key, value in result.items() if key != "reply"}
    command.move(outcome.state)
    command.attempt = command.worker = None
    command.result = result
    db.write(UPDATE, *updated(command))
    db.write("DELETE FROM files WHERE command = ?", command.number)
    _count(db, command.queue, waiting=-was_waiting, ended=command)
    _changed(db, command, news)
    return command


def _count(db: Tables, queue: str, waiting: int = 0, ended: Command | None = None) -> None:
    """Keep a queue's counts; the mean is weighted as in scripts/common.lua."""
    db.write(
        "INSERT INTO queues (queue, waiting) VALUES (?, ?) "
        "ON CONFLICT (queue) DO UPDATE SET waiting = waiting + excluded.waiting",
        *(stored(queue), waiting),
    )
    if ended is None:
        return
    state = ended.state.value
    db.write(f"UPDATE queues SET {state} = {state} + 1 WHERE queue = ?", stored(queue))  # noqa: S608
    if ended.run_s is not None:
        row = db.one("SELECT runs, mean_run_s FROM queues WHERE queue = ?", stored(queue))
        runs, mean_s = (row["runs"] + 1, row["mean_run_s"]) if row else (1, None)
        before_s = ended.run_s if mean_s is None else mean_s
        mean_s = before_s + max(_RUN_WEIGHT, 1 / runs) * (ended.run_s - before_s)
        values = (runs, mean_s, stored(queue))
        db.write("UPDATE queues SET runs = ?, mean_run_s = ? WHERE queue = ?", *values)


def _serve(db: Tables, queue: str, head: float) -> None:
    """Note whose turn was served, and forget turns that make no difference to anybody any more."""
    db.write(
        "UPDATE queues SET waiting = waiting - 1, serving = max(serving, ?) WHERE queue = ?",
        *(head, stored(queue)),
    )
    row = db.one("SELECT waiting, serving FROM queues WHERE queue = ?", stored(queue))
    if row and row["waiting"] == 0:
        db.write("DELETE FROM turns WHERE queue = ?", stored(queue))
    elif row:
        over = (stored(queue), row["serving"] - 1)
        db.write("DELETE FROM turns WHERE queue = ? AND turn <= ?", *over)


def _keep_input(db: Tables, command: Command, payload: Payload) -> None:
    """What a short command was asked is not written: it is gone with this process."""
    if is_short(command):
        db.write("INSERT INTO unwritten VALUES (?, ?)", command.number, as_json(payload))
        return
    asked = {**payload, "files": []}
    db.write("INSERT OR REPLACE INTO inputs VALUES (?, ?)", command.number, as_json(asked))
    for place, file in enumerate(payload["files"]):
        db.write("INSERT INTO files VALUES (?, ?, ?)", command.number, place, as_json(file))
