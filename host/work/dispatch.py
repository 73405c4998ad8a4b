"""Handing work to module instances and taking their answers.

Invariant: what an instance says of a command counts only under the attempt that it was given.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import islice
from typing import Any

from host.commands import (
    Command,
    CommandError,
    Outcome,
    StaleAttempt,
    State,
    UnknownCommand,
)
from host.instances.instance import Instance
from host.instances.registry import ModuleRegistry
from host.store.protocol import CommandStore, StoreUnavailable
from host.wire import RUNNING_ANSWER, CommandProgress, Work
from host.work.claims import Claims, work_of
from host.work.endings import Endings
from host.work.leases import Leases, LeaseTerms
from host.work.part1 import LOOK_AGAIN_S, Part1
from host.work.progress import ItemProgress

_log = logging.getLogger(__name__)


class Dispatcher:
    """Claims, answers and progress, for modules of both protocols; `part1` has what only the older
    one needs."""

    def __init__(
        self,
        store: CommandStore,
        registry: ModuleRegistry,
        terms: LeaseTerms = LeaseTerms(),  # noqa: B008  it is frozen
    ) -> None:
        self._store = store
        self._registry = registry
        self.claims = Claims(store)
        self.part1 = Part1(store, registry, self.claims)
        self.leases = Leases(store, terms)
        self.endings = Endings(store, registry)

    async def close(self) -> None:
        """Claim nothing any more, and end every mirror."""
        self.claims.close()
        await self.part1.close()

    async def alive(self, instance: Instance) -> None:
        """A sign of life: what the instance has claimed stays its own. Raises StoreUnavailable."""
        if await self.leases.alive(instance) and instance.protocol == 1:
            await self.part1.pick_up(instance)

    async def give_back(self, work: Work) -> None:
        """A command that was claimed for a module that hung up before it got it."""
        await self.claims.give_back(await self._store.read(work["reqid"]))

    async def claim(self, queue: str, instance: Instance, wait_s: float) -> Work | None:
        """Work for an instance that speaks protocol 2, under an attempt token."""
        if self._registry.is_hopeless(instance):
            await asyncio.sleep(min(wait_s, LOOK_AGAIN_S))
            return None
        command = await self.claims.claim(queue, instance.instance_id, wait_s)
        if command is None:
            return None
        work = work_of(command)
        work["attempt"] = command.attempt or ""
        work["longProcess"] = bool(command.is_long)
        return work

    async def progress(
        self, instance: Instance, items: Sequence[CommandProgress]
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Put what an instance reports into the store, together. Returns what the host now holds
        of each command, and which commands of the instance are to stop."""
        told = [ItemProgress.of(item) for item in items]
        appends = [append for one in told for append in one.appends]
        reported = await self._store.report(instance.instance_id, appends)
        found = iter(reported.found)
        for one in told:
            one.found = list(islice(found, len(one.appends)))
        replies = await asyncio.gather(*(self._progressed(instance, one) for one in told))
        ended = {one.item.commandId for one in told if one.is_whole and one.item.result is not None}
        return replies, [command_id for command_id in reported.to_stop if command_id not in ended]

    async def _progressed(self, instance: Instance, told: ItemProgress) -> dict[str, Any]:
        """End the command whose result is there with all of its text."""
        item, reply = told.item, told.answer()
        instance.steps += bool(item.text or item.pieces or item.fields or item.result is not None)
        if item.result is not None and told.is_whole:
            try:
                await self._store.finish(item.commandId, item.attempt, Outcome.of(item.result))
                instance.commands_served += 1
            except (UnknownCommand, StaleAttempt) as error:
                reply.update(accepted=False, error=str(error))
        return reply

    async def answer(
        self, instance: Instance, reqid: str, attempt: str | None, body: dict[str, Any]
    ) -> None:
        """A module's answer to a question, or to a command.

        Raises UnknownCommand, StaleAttempt, and StoreUnavailable where the module will try again;
        one of the field's SDK would not, so its answer is kept here until the store is back.
        """
        try:
            await self._answer(instance, reqid, attempt, body)
        except StoreUnavailable:
            if instance.protocol >= 2:
                raise
            self.part1.spawn(self._answer_later(instance, reqid, body))

    async def _answer_later(self, instance: Instance, reqid: str, body: dict[str, Any]) -> None:
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            try:
                await self._answer(instance, reqid, None, body)
            except StoreUnavailable:
                continue
            except CommandError as error:
                _log.info("an answer came too late for a command: %s", error.plain)
            return

    async def _answer(
        self, instance: Instance, reqid: str, attempt: str | None, body: dict[str, Any]
    ) -> None:
        if await self._registry.answered(reqid, body):
            return
        command = await self._store.read(reqid)
        if command is None:
            raise UnknownCommand(reqid[:80])
        if attempt is None and command.worker == instance.instance_id:
            attempt = command.attempt
        if command.state is not State.RUNNING or attempt != command.attempt:
            raise StaleAttempt(reqid)
        instance.commands_served += 1
        if body.get("success") and body.get("commandStatus") == RUNNING_ANSWER:
            await self._goes_on(instance, command)
        elif instance.protocol == 1 and _is_busy_refusal(command, body):
            await self._try_later(instance, command)
        else:
            await self._ended(instance, command, body)

    async def _goes_on(self, instance: Instance, command: Command) -> None:
        if self._registry.is_long(command.queue, command.name) is None:
            self._registry.learn(command.queue, command.name, True)
            for waiting in await self._store.queued(command.queue):
                if waiting.name == command.name:
                    await self._store.adopt(waiting.id)
        await self._store.adopt(command.id)
        if instance.protocol == 1:
            self.part1.follow(instance, command)

    async def _try_later(self, instance: Instance, command: Command) -> None:
        await self._store.requeue(command.id, command.attempt or "")
        self.part1.free_later(instance)

    async def _ended(self, instance: Instance, command: Command, body: dict[str, Any]) -> None:
        if command.is_long is None:
            self._registry.learn(command.queue, command.name, False)
        await self._store.finish(command.id, command.attempt or "", Outcome.of(body))
        if instance.protocol == 1 and command.is_long is not False:
            self.part1.free(instance)

    async def instance_gone(self, module_id: str, instance_id: str, reason: str) -> None:
        """End what a dead instance ran, with its partial text; what had shown none starts again."""
        self._registry.forget(module_id, instance_id)
        self.leases.forget(instance_id)
        error = f"the module's process ended while it worked on this command: {reason}"
        await self.endings.worker_gone(instance_id, error)


def _is_busy_refusal(command: Command, body: dict[str, Any]) -> bool:
    """The field's SDK refuses a second long command with the id of the first."""
    other = body.get("commandId")
    return not body.get("success") and bool(other) and other != command.id
