"""What becomes of commands whose module, or whose time, has gone.

Invariant: every change here shows the attempt that it was decided on, so that several hosts may
decide at once, and a command that moved on meanwhile stays as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from host.commands import CancelAnswer, Command, CommandError, Outcome, State
from host.instances.instance import Instance
from host.instances.registry import ModuleRegistry
from host.store.protocol import CommandStore

_log = logging.getLogger(__name__)

MAX_ATTEMPTS = 2  # a command that took its module down twice is not tried a third time
DELIVERY_S = 10.0  # a claim that its instance does not know of after this long was never delivered
STOP_WITHIN_S = 10.0  # for a command that is told to stop because of its time limit

TIME_LIMIT = "time_limit"
WAITED_TOO_LONG = "waited_too_long"


class Endings:
    """Ends commands, or puts them back, when nobody else will. Every step may raise
    StoreUnavailable: what was left undone is found again by the next sweep."""

    def __init__(self, store: CommandStore, registry: ModuleRegistry) -> None:
        self._store = store
        self._registry = registry
        self._missing: dict[str, frozenset[str]] = {}  # instance id -> attempts it did not know of
        self._stopped: dict[str, str] = {}  # instance id -> why this host ends it

    async def cancel(self, command_id: str) -> CancelAnswer:
        """Stop a command: at once while it waits, by its module while it runs."""
        answer = await self._store.cancel(command_id)
        if answer is CancelAnswer.REQUESTED:
            command = await self._store.read(command_id)
            if command is not None:
                await self._registry.post_cancel(command.worker, command_id)
        return answer

    async def unheard(self, command: Command) -> None:
        """Whoever waited for its answer here has left. Where hosts share a store, somebody else may
        have come to another of them with its key."""
        if not (self._store.is_shared and command.idempotency_key):
            await self.cancel(command.id)

    async def answered(self, command: Command) -> None:
        """Its answer goes out; one with a key stays, for a client that does not get it."""
        if not command.idempotency_key:
            await self.delete(command.id)

    async def delete(self, command_id: str) -> bool:
        """Forget an ended command and its texts for good; False for one that has not ended."""
        return await self._store.delete(command_id)

    async def worker_gone(self, instance_id: str, error: str) -> None:
        """End what a worker ran, with its partial text; what had shown none starts again."""
        self._missing.pop(instance_id, None)
        error = self._stopped.get(instance_id, error)
        for command in await self._store.running(instance_id):
            await self._end_or_requeue(command, error)

    async def host_stops(self, workers: Iterable[str], error: str) -> None:
        """These workers are about to be ended, by nobody's fault: what has shown no text goes back
        to its queue, for whoever comes next, as if it had not begun. What has shown some, and what
        nobody would find again, ends when its worker has gone, with this error."""
        for worker in workers:
            self._stopped[worker] = error
            for command in await self._store.running(worker):
                if self._store.is_kept and _is_kept(command) and not command.output.length:
                    await self._requeue(command)

    async def _requeue(self, command: Command) -> None:
        try:
            await self._store.requeue(command.id, command.attempt or "")
        except CommandError as moved_on:
            _log.info("a command stays as it is: %s", moved_on.plain)

    async def _end_or_requeue(self, command: Command, error: str) -> None:
        attempt = command.attempt or ""
        try:
            if command.stop_wish == "cancelled":  # it stopped, if not in the way it was meant to
                await self._store.finish(command.id, attempt, Outcome.cancelled())
            elif command.output.length or command.stop_wish or command.attempts >= MAX_ATTEMPTS:
                await self._store.finish(command.id, attempt, Outcome.failed(error))
            else:
                await self._store.requeue(command.id, attempt, error)
        except CommandError as moved_on:
            _log.info("a command stays as it is: %s", moved_on.plain)

    async def module_gone(self, queue: str, reason: str) -> None:
        """No process will come for a queue: fail what waits in it, with the reason."""
        for command in await self._store.queued(queue):
            await self._fail_waiting(command, reason)

    async def _fail_waiting(self, command: Command, error: str, **more: str) -> None:
        try:
            await self._store.finish(command.id, None, Outcome.failed(error, **more))
        except CommandError as moved_on:
            _log.info("a command stays as it is: %s", moved_on.plain)

    async def reconcile(self, instance: Instance, held: Iterable[str]) -> None:
        """Compare what an instance says it holds with what it has claimed.

        A claim whose answer got lost on the way is unknown to its instance for good: what it says
        twice in a row, of a claim older than `DELIVERY_S`, is believed.
        """
        known, worker = set(held), instance.instance_id
        busy = await self._store.busy(worker)
        late = {
            one.command_id for one in busy if one.command_id not in known and one.run_s > DELIVERY_S
        }
        missing = {
            command.attempt or "": command
            for command in (await self._store.running(worker) if late else ())
            if command.id in late
        }
        before = self._missing.pop(instance.instance_id, frozenset())
        if missing:
            self._missing[instance.instance_id] = frozenset(missing)
        for attempt in before & set(missing):
            error = "the module does not know of this command any more"
            await self._end_or_requeue(missing[attempt], error)

    async def host_restarted(self, workers: Iterable[str], queues: Iterable[str]) -> None:
        """End or requeue what ended with this host's last run: its own modules, its clients.

        `workers` are the instances which that run had launched. The client of an ordinary command
        waited for its answer on a connection that is gone.
        """
        for worker in workers:
            error = "the host ended while this command ran, and its module with it"
            await self.worker_gone(worker, error)
        for queue in queues:
            for command in await self._store.queued(queue):
                if not _is_kept(command):
                    await self._fail_waiting(command, "the host ended before this command began")

    async def overdue(self) -> None:
        """Stop what waited or ran longer than its queue allows."""
        for command, over_s in await self._store.overdue():
            if command.state is State.QUEUED:
                await self._waited_too_long(command, over_s)
            elif command.state is State.RUNNING:
                await self._ran_too_long(command, over_s)

    async def _waited_too_long(self, command: Command, over_s: float) -> None:
        limit_s = command.max_wait_s or 0.0
        error = (
            f"the command waited {limit_s + over_s:.0f} s in the queue; "
            f"at most {limit_s:g} s are allowed (MaxWaitSecs)"
        )
        await self._fail_waiting(command, error, stop_reason=WAITED_TOO_LONG)

    async def _ran_too_long(self, command: Command, over_s: float) -> None:
        limit_s = command.max_run_s or 0.0
        if not command.stop_wish:
            await self._store.cancel(command.id, TIME_LIMIT)
            await self._registry.post_cancel(command.worker, command.id)
        elif over_s > STOP_WITHIN_S:
            error = (
                f"the command ran longer than the {limit_s:g} s that are allowed (MaxRunSecs), "
                f"and did not stop within {STOP_WITHIN_S:g} s of being told"
            )
            try:
                outcome = Outcome.failed(error, stop_reason=TIME_LIMIT)
                await self._store.finish(command.id, command.attempt, outcome)
            except CommandError as moved_on:
                _log.info("a command stays as it is: %s", moved_on.plain)


def _is_kept(command: Command) -> bool:
    """Whoever asked can find it again; else they wait on a connection that ends with the host."""
    return bool(command.is_long or command.idempotency_key)
