"""A command, its states, and the one table of moves between them.

Invariant: `Command.move` is the only place where a state changes; a terminal state is final; text
is only ever appended.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from host.asked import StoredPayload
from host.channels import NO_OUTPUT, REPLY, Output
from host.wire import Payload


class State(str, Enum):
    """Where a command is on its way from `queued` to one of the three ends."""

    QUEUED = "queued"  # accepted; no module has it yet
    RUNNING = "running"  # a module claimed it; its attempt token fences every other claim
    COMPLETED = "completed"  # ended by itself, or at its length limit
    CANCELLED = "cancelled"  # ended because its owner said so
    FAILED = "failed"  # ended by a fault; `error` says which

    @property
    def is_terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = frozenset({State.COMPLETED, State.CANCELLED, State.FAILED})

MOVES: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELLED, State.FAILED}),
    # back to `queued` only while no text was shown: `put_back` checks that
    State.RUNNING: frozenset({State.QUEUED, *_TERMINAL}),
    State.COMPLETED: frozenset(),
    State.CANCELLED: frozenset(),
    State.FAILED: frozenset(),
}


class CancelAnswer(str, Enum):
    """The four things a request to cancel can hear."""

    UNKNOWN = "unknown"  # there is no such command
    CANCELLED = "cancelled"  # it had not begun, and has ended now; or an earlier cancel ended it
    REQUESTED = "requested"  # it runs; its module has been told
    ALREADY_FINISHED = "already finished"  # it completed or failed before; nothing changed


class CommandError(Exception):
    """Base of what can be wrong with a move on a command; `plain` says it without its id, which is
    its owner's, to logs."""

    plain = "it moved on meanwhile"


class IllegalMove(CommandError):
    """A change of state that the table does not have."""

    def __init__(self, command_id: str, now: State, to: State) -> None:
        super().__init__(f"command {command_id} is {now.value} and cannot become {to.value}")
        self.command_id, self.now, self.to = command_id, now, to
        self.plain = f"it is {now.value}"


class UnknownCommand(CommandError):
    """No command has this id: it never existed, or was deleted, or its time to keep ran out."""

    plain = "it is kept no more"

    def __init__(self, command_id: str) -> None:
        super().__init__(
            f"there is no command {command_id!r}: it was never made, or is kept no more"
        )
        self.command_id = command_id


class StaleAttempt(CommandError):
    """Progress or a result that comes from a claim which is not the current one."""

    plain = "the claim on it has ended"

    def __init__(self, command_id: str) -> None:
        super().__init__(
            f"this claim on command {command_id} has ended: its result stands, or another has it"
        )
        self.command_id = command_id


class NewCommand(NamedTuple):
    """What a client asked for, before it has an id.

    `is_long` is None while nobody knows yet whether the route starts a long process: an unmarked
    route of a module written for another SDK shows that only by its first answer.
    `client` is who asked, for fair turns, and `owner` whose it is; the limits are None where there
    is none. With the same `idempotency_key` comes the same `request_digest`, or it is another
    request.
    """

    module_id: str
    queue: str
    name: str
    payload: Payload
    is_long: bool | None
    client: str = ""
    owner: str | None = None
    idempotency_key: str | None = None
    request_digest: str | None = None
    max_queue_length: int | None = None
    max_wait_s: float | None = None
    max_run_s: float | None = None


@dataclass(frozen=True)
class Outcome:
    """How a command ended: the state, and the module's own result."""

    state: State
    result: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def failed(error: str, **more: Any) -> Outcome:
        return Outcome(State.FAILED, {"success": False, "error": error, **more})

    @staticmethod
    def cancelled() -> Outcome:
        return Outcome(State.CANCELLED, {"success": True, "stop_reason": "cancelled"})

    @staticmethod
    def of(result: dict[str, Any]) -> Outcome:
        """Read the end from a module's result: `success` and `stop_reason` decide the state."""
        if not result.get("success", True):
            error = result.get("error") or "the module reported a failure and gave no reason"
            return Outcome(State.FAILED, {**result, "success": False, "error": str(error)})
        if result.get("stop_reason") == "cancelled":
            return Outcome(State.CANCELLED, result)
        return Outcome(State.COMPLETED, {**result, "success": True})

    def as_wished(self, wish: str) -> Outcome:
        """The end of a command that was told to stop because of `wish`.

        One that its owner stopped is cancelled; one that ran into a limit of its queue is complete
        as far as it came, and its `stop_reason` names the limit.
        """
        if self.state is not State.CANCELLED or wish in ("", "cancelled"):
            return self
        return Outcome(State.COMPLETED, {**self.result, "stop_reason": wish})


_ID_BYTES = 10
_random = bytearray()


def _fresh_id() -> str:
    """The time in milliseconds, so that a store finds those of one moment side by side, and 80
    random bits. The system is asked for those of many ids at once: each question lets other
    threads of a busy process run first."""
    if not _random:
        _random.extend(secrets.token_bytes(256 * _ID_BYTES))
    drawn = _random[-_ID_BYTES:]
    del _random[-_ID_BYTES:]
    return f"{time.time_ns() // 1_000_000:012x}{drawn.hex()}"


@dataclass
class Command:
    """One command, from acceptance to its end. Times are seconds since the epoch."""

    id: str
    module_id: str
    queue: str
    name: str
    is_long: bool | None
    payload: Payload | StoredPayload | None = None  # only one that was just claimed has it
    client: str = ""
    owner: str | None = None  # None in a record of an older version, which has the client alone
    state: State = State.QUEUED
    output: Output = NO_OUTPUT
    fields: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    attempt: str | None = None
    attempts: int = 0  # that began: the failed ones, and the current one
    failed_attempts: list[dict[str, Any]] = field(default_factory=list)
    worker: str | None = None
    stop_wish: str = ""  # why a running command is to stop: "cancelled", or the limit it ran into
    turn: float = 0.0  # its place in the fair order of its queue (host.store.protocol)
    number: int = 0  # of equal turns, the lower number is first
    idempotency_key: str | None = None
    request_digest: str | None = None  # of what came with the key
    max_wait_s: float | None = None
    max_run_s: float | None = None
    created_at: float = field(default_factory=time.time)
    queued_at: float = field(default_factory=time.time)  # when it came into its queue last
    started_at: float | None = None
    finished_at: float | None = None
    version: int = 0  # grows with every change; readers wait for a larger one
    # by this process's steady clock: when it came into its state
    since: float = field(default_factory=time.monotonic, compare=False)

    @staticmethod
    def create(new: NewCommand) -> Command:
        """Give the command an id that cannot be guessed."""
        return Command(
            id=_fresh_id(),
            module_id=new.module_id,
            queue=new.queue,
            name=new.name,
            is_long=new.is_long,
            client=new.client,
            owner=new.owner,
            idempotency_key=new.idempotency_key,
            request_digest=new.request_digest,
            max_wait_s=new.max_wait_s,
            max_run_s=new.max_run_s,
        )

    @property
    def is_cancel_requested(self) -> bool:
        return bool(self.stop_wish)

    @property
    def text(self) -> str:
        """The reply so far."""
        return self.output.reply

    def begin(self, worker: str) -> None:
        """It is claimed, under a new attempt. Raises IllegalMove."""
        self.move(State.RUNNING)
        self.attempt, self.worker = secrets.token_hex(8), worker
        self.attempts += 1

    def end(self, outcome: Outcome) -> None:
        """It ends as it was wished; a `reply` in the result completes its text, and is not kept
        twice where readers get the text. Raises IllegalMove."""
        outcome = outcome.as_wished(self.stop_wish)
        self.move(outcome.state)
        self.attempt = self.worker = None
        self.result, reply = outcome.result, outcome.result.get("reply")
        if isinstance(reply, str) and reply.startswith(self.text):
            self.output = self.output.grown(REPLY, reply[len(self.text) :])
            if self.is_long:
                self.result = {name: one for name, one in self.result.items() if name != "reply"}

    def put_back(self, error: str | None) -> None:
        """Let it wait again. With an `error` its attempt has failed; without, it never began.

        Raises IllegalMove for one that has shown text.
        """
        if self.output.length:
            raise IllegalMove(self.id, self.state, State.QUEUED)
        if error is None:
            self.attempts -= 1
        else:
            failed = {"startedAt": self.started_at, "endedAt": time.time(), "error": error}
            self.failed_attempts = [*self.failed_attempts, failed]
        self.move(State.QUEUED)
        self.attempt = self.worker = None
        self.stop_wish, self.fields = "", {}

    def move(self, to: State) -> None:
        """The one transition. Raises IllegalMove for a move that the table lacks."""
        if to not in MOVES[self.state]:
            raise IllegalMove(self.id, self.state, to)
        self.state, self.since = to, time.monotonic()
        if to is State.RUNNING:
            self.started_at = time.time()
        elif to is State.QUEUED:
            self.started_at, self.queued_at = None, time.time()
        else:
            self.finished_at = time.time()
        self.version += 1
