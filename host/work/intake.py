"""A command is accepted, from whoever speaks whatever protocol.

Invariant: a command that is refused was never there, and the error says why in plain words; which
status, header or envelope that becomes is the business of the room that speaks.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from host.commands import Command, NewCommand
from host.instances.load import LoadWatch
from host.instances.registry import ModuleRegistry
from host.store.protocol import CommandStore, QueueFull

_REFUSED_FOR_S = 0.2  # less than anybody is told to wait


class NotAccepted(Exception):
    """A command that is not taken now; the message says why."""


class HostCloses(NotAccepted):
    """This host is about to end: its successor may be there in a moment."""


class NobodyServes(NotAccepted):
    """No process of the module will come for the command; one is launched again in `next_try_s`
    seconds, or None."""

    def __init__(self, reason: str, next_try_s: float | None) -> None:
        super().__init__(reason)
        self.next_try_s = next_try_s


class TooManyWait(NotAccepted):
    """The module's queue is full. A place will be free in about `wait_s` seconds; None where
    nothing is known, and what runs has run for `longest_run_s`."""

    def __init__(self, reason: str, wait_s: float | None, longest_run_s: float) -> None:
        super().__init__(reason)
        self.wait_s, self.longest_run_s = wait_s, longest_run_s


class ShareTaken(NotAccepted):
    """The client has its share of what there is; others may still come."""


class KeyTaken(NotAccepted):
    """The key of an earlier start came with another request."""


class _Shares:
    """Remembers for a moment who had its share: a client that asks again and again costs the store
    one question of many."""

    def __init__(self) -> None:
        self._refused: dict[tuple[str, str], tuple[float, str]] = {}

    def check(self, new: NewCommand) -> None:
        until, reason = self._refused.get((new.queue, new.client), (0.0, ""))
        if time.monotonic() < until:
            raise ShareTaken(reason)

    def refused(self, new: NewCommand, own: int, waiting: int) -> ShareTaken:
        now = time.monotonic()
        self._refused = {who: one for who, one in self._refused.items() if one[0] > now}
        reason = (
            f"module {new.module_id} has {own} commands of this client waiting, of {waiting}: "
            "what places are left (MaxQueueLength) are for other clients"
        )
        self._refused[new.queue, new.client] = (now + _REFUSED_FOR_S, reason)
        return ShareTaken(reason)


class Intake:
    """The one place where a command begins.

    `unavailable(module_id)` says why a module cannot take commands, or None, and `next_try_s` how
    soon it is tried again, or None; `closed(is_long)` why this host takes none any more, or None.
    """

    def __init__(
        self,
        store: CommandStore,
        registry: ModuleRegistry,
        load: LoadWatch,
        *,
        unavailable: Callable[[str], str | None],
        next_try_s: Callable[[str], float | None],
        closed: Callable[[bool], str | None],
    ) -> None:
        self._store = store
        self._registry = registry
        self._load = load
        self._unavailable = unavailable
        self._next_try_s = next_try_s
        self._closed = closed
        self._shares = _Shares()

    async def accept(self, new: NewCommand) -> Command:
        """Queue a command. Raises NotAccepted, StoreUnavailable."""
        if not new.is_long:
            is_long = self._registry.is_long(new.queue, new.name) or new.is_long
            new = new._replace(is_long=is_long)
        reason = self._closed(bool(new.is_long))
        if reason is not None:
            raise HostCloses(reason)
        if self._unavailable(new.module_id) is not None:
            await self._registry.refresh()  # another host may have seen an instance since
            reason = self._unavailable(new.module_id)
        if reason is not None:
            raise NobodyServes(reason, self._next_try_s(new.module_id))
        self._shares.check(new)
        try:
            command = await self._store.create(new)
        except QueueFull as error:
            if error.own is not None:
                raise self._shares.refused(new, error.own, error.length) from None
            raise await self._too_many(new, error) from None
        if command.request_digest != new.request_digest:
            raise KeyTaken(
                "Idempotency-Key: expected the request that this key came with first, got another: "
                "send that one again, or give this one a key of its own"
            )
        return command

    async def _too_many(self, new: NewCommand, error: QueueFull) -> TooManyWait:
        load = await self._load.of(new.queue)
        wait_s = load.wait_s(1)  # a place frees when the first of them starts
        when = "" if wait_s is None else f"; a place will be free in about {max(wait_s, 1):.0f} s"
        reason = f"module {new.module_id} has {error.length} commands waiting, and takes no more"
        return TooManyWait(reason + when, wait_s, load.longest_run_s)
