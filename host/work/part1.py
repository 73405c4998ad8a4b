"""Modules of the field's SDK: one queue for control and work, and one long command at a time.

Invariant: an instance of protocol 1 never holds two commands of which more than one may be a long
process: it would refuse the second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from host.commands import Command
from host.instances.instance import Instance
from host.instances.registry import ModuleRegistry
from host.store.protocol import CommandStore
from host.wire import QUIT, Control, Work, system_payload
from host.work.claims import Claims, work_of
from host.work.mirror import Mirror

LOOK_AGAIN_S = 1.0  # when a module runs a long command that this host did not give it


class Part1:
    """What such an instance polls, and the mirrors of what it runs: it reports nothing itself."""

    def __init__(self, store: CommandStore, registry: ModuleRegistry, claims: Claims) -> None:
        self._store = store
        self._registry = registry
        self._claims = claims
        self._tasks: set[asyncio.Task[None]] = set()
        self._mirrored: set[str] = set()

    @property
    def busy(self) -> int:
        """How many commands only this host can bring to their end."""
        return len(self._tasks)

    async def close(self) -> None:
        """End every mirror."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def spawn(self, job: Coroutine[Any, Any, None]) -> None:
        """Have something done that only this host can do."""
        task = asyncio.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def poll(self, queue: str, instance: Instance, wait_s: float) -> Work | None:
        """Control or work, whichever is there first: this protocol has one queue for both."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while True:
            work = await self._control(queue, instance)
            remaining_s = deadline - loop.time()
            if work is not None or instance.is_quitting or remaining_s <= 0:
                return work
            command = await self._claim_or_mail(queue, instance, remaining_s)
            if command is not None and await self._may_have(instance, command):
                return work_of(command)

    async def _control(self, queue: str, instance: Instance) -> Work | None:
        control = await self._registry.take_one(instance)
        if control is None:
            return None
        if control["type"] == "quit":  # its other polls end now, with nothing
            instance.is_quitting = True
            self._registry.poke(instance)
        return _control_work(queue, instance, control)

    async def _claim_or_mail(self, queue: str, instance: Instance, wait_s: float) -> Command | None:
        return await self._claims.claim(
            queue,
            instance.instance_id,
            wait_s,
            is_long_allowed=not instance.is_exclusive_busy,
            beside=self._registry.wait_for_mail(instance, wait_s),
        )

    async def _may_have(self, instance: Instance, command: Command) -> bool:
        if command.is_long is False:
            return True
        if instance.is_exclusive_busy:  # another poll of the same instance was a moment faster
            await self._claims.give_back(command)
            return False
        instance.is_exclusive_busy = True
        self._registry.poke(instance)
        return True

    def follow(self, instance: Instance, command: Command) -> None:
        """Mirror a long command into the store, until its end."""
        self.spawn(self._mirror(instance, command))

    async def _mirror(self, instance: Instance, command: Command) -> None:
        if command.id in self._mirrored:
            return
        self._mirrored.add(command.id)
        try:
            await Mirror(self._store, self._registry, instance, command).follow()
        finally:
            self._mirrored.discard(command.id)
            self.free(instance)

    async def pick_up(self, instance: Instance) -> None:
        """Follow what an instance runs since before this host began: it keeps its own state."""
        for command in await self._store.running(instance.instance_id):
            if command.is_long and command.id not in self._mirrored:
                instance.is_exclusive_busy = True
                self.follow(instance, command)

    def free(self, instance: Instance) -> None:
        """It may take another long command."""
        instance.is_exclusive_busy = False
        self._registry.poke(instance)

    def free_later(self, instance: Instance) -> None:
        """It has refused a command, being busy: it may take one in a moment."""
        asyncio.get_running_loop().call_later(LOOK_AGAIN_S, self.free, instance)


def _control_work(queue: str, instance: Instance, control: Control) -> Work:
    """A control message in the dress of a command, as protocol 1 has it."""
    payload = control.get("payload")
    if payload is None:
        payload = system_payload(queue, QUIT, moduleId=instance.module_id)
    return {
        "reqid": control.get("reqid", QUIT.lower()),
        "reqtype": payload["command"],
        "payload": payload,
    }
