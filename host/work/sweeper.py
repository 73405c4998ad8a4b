"""The sweep: silent workers, commands over their time, queues that nobody serves.

Any number of hosts may sweep at once.

Invariants: a store that cannot be reached stops nothing here: it is said once, and tried again.
Nobody is judged by what this host did not hear while it was stopped, or waited for a slow disk.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from host.instances.registry import ModuleRegistry
from host.log.ring import LogRing
from host.store.protocol import CommandStore, StoreUnavailable
from host.work.dispatch import Dispatcher

_log = logging.getLogger(__name__)

EVERY_S = 1.0
LATE_PART = 0.25  # of a lease: a sweep that is later than this judges nobody


class Sweeper:
    """Run `run()` as a task for as long as the host lives.

    `abandoned()` names the queues that no module will come for, with the reason. `trouble` is what
    was wrong with the store when it was last asked.
    """

    def __init__(
        self,
        store: CommandStore,
        registry: ModuleRegistry,
        dispatcher: Dispatcher,
        abandoned: Callable[[], dict[str, str]],
        log: LogRing,
    ) -> None:
        self._store = store
        self._registry = registry
        self._endings, self._leases = dispatcher.endings, dispatcher.leases
        self._abandoned = abandoned
        self._log = log
        self.trouble = ""
        self._began_s: float | None = None  # the last sweep, by the steady clock

    async def run(self) -> None:
        """Sweep about once a second until cancelled."""
        while True:
            await self.sweep()
            await asyncio.sleep(EVERY_S)

    async def sweep(self) -> None:
        """One sweep; a store that is away ends it."""
        try:
            await self._forgive()
            self._long_dead()
            await self._silent_workers()
            await self._endings.overdue()
            for queue, reason in self._abandoned().items():
                await self._endings.module_gone(queue, reason)
        except StoreUnavailable as error:
            if not self.trouble:
                self._log.add(f"the store is away: {error}", level="error", category="host")
            self.trouble = str(error)
        except Exception:  # a fault in one sweep is no reason to never sweep again
            _log.exception("the sweep failed")
        else:
            if self.trouble:
                self._log.add("the store is back", category="host")
            self.trouble = ""

    async def _forgive(self) -> None:
        """After a sweep that came late: whoever lives has spoken meanwhile, to nobody."""
        now = time.monotonic()
        late_s = 0.0 if self._began_s is None else now - self._began_s - EVERY_S
        if late_s > self._leases.terms.lease_s * LATE_PART:
            await self._leases.begin_anew()
            self._registry.was_away(late_s)
            text = f"this host stood still for {late_s:.1f} s: what its modules hold stays theirs"
            self._log.add(text, level="warning", category="host")
        self._began_s = now

    def _long_dead(self) -> None:
        """Instances that held nothing when they died are missed by nobody."""
        for instance in self._registry.long_dead():
            self._registry.forget(instance.module_id, instance.instance_id)
            self._leases.forget(instance.instance_id)

    async def _silent_workers(self) -> None:
        for worker in await self._store.lapsed():
            instance = self._registry.find(worker)
            silence = "its module showed no sign of life"
            if instance is not None:
                silence += f" for {self._leases.terms.of(instance):g} s"
                self._registry.forget(instance.module_id, worker)
            self._leases.forget(worker)
            self._log.add(
                f"{silence}: instance {worker} loses its commands",
                level="warning",
                category=instance.module_id if instance else "host",
            )
            await self._endings.worker_gone(worker, f"{silence} while it worked on this command")
