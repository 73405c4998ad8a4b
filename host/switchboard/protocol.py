"""What a switchboard can do: mail to module instances, their answers, and who has seen whom.

On a shared store the hosts share the switchboard too, so that what one host tells an instance
reaches it through whichever host it polls. Every implementation passes tests/host/test_switchboard.
Invariant: mail is handed out at most once. What it says reaches the instance in another way too: a
cancel with the answer to its next progress, a quit as a signal, a question by being asked again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from host.wire import Control


@dataclass
class Sighting:
    """A module instance, as one host has seen it. Times are of the steady clock of whoever holds
    it: an exchange turns those of the others into this host's."""

    module_id: str
    instance_id: str
    protocol: int  # 1 for modules of the field's SDK
    first_seen: float
    last_seen: float
    status: dict[str, Any] = field(default_factory=dict)
    status_at: float = 0.0  # when it last said how it is
    commands_served: int = 0
    has_polled: bool = False


class Switchboard(Protocol):
    """What is awaited, other than `close`, may raise StoreUnavailable."""

    async def open(self) -> None:
        """Take hold of what the switchboard runs on."""

    async def post(self, instance_id: str, control: Control) -> None:
        """Put a message into an instance's mailbox; nobody there is no error."""

    async def collect(self, instance_id: str, limit: int = 100) -> list[Control]:
        """Take at most `limit` messages out of a mailbox, in the order they came."""

    async def wait(self, instance_id: str, timeout_s: float) -> None:
        """Return when mail is there, the instance was poked, time is over, or on `close`."""

    def poke(self, instance_id: str) -> None:
        """Make those who wait on this host for an instance's mail look again."""

    def drop(self, instance_id: str) -> None:
        """The instance is gone: its mail leaves, at once or when its time is over."""

    async def ask(
        self, instance_id: str, control: Control, timeout_s: float
    ) -> dict[str, Any] | None:
        """Post a question and wait for the answer to its `reqid`; None when none came in time."""

    async def answer(self, reqid: str, body: dict[str, Any]) -> bool:
        """Hand an answer to the host that asked; False when nobody waits for this id."""

    async def exchange(self, seen: list[Sighting]) -> list[Sighting]:
        """Tell all that this host has seen; returns what the other hosts have told."""

    async def shared(self, name: str, own: str) -> str:
        """The value of a name that all hosts share: that of the first to ask, its `own`."""

    async def close(self) -> None:
        """Release all who wait, and let go of every resource."""
