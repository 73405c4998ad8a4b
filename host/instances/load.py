"""How busy a queue is, and when a command in it will probably start.

A queue is served by slots: those that run now, and those that its modules have free. Slots that
take the measured mean each give the n-th waiting command its time. Invariant: an estimate costs a
status poll no more than arithmetic; what it rests on is asked for every `KEEP_S` at most, and every
`KEEP_AFTER_END_S` where a command has ended since: a slot that was filled again a little earlier
than it was thought would else be a whole run off.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from host.commands import Command, State
from host.instances.instance import Instance
from host.instances.registry import ModuleRegistry
from host.store.protocol import CommandStore, QueueStats

KEEP_S = 0.5
KEEP_AFTER_END_S = 0.005
MAX_SLOTS = 1000  # what a module says of itself is believed up to here


@dataclass(frozen=True)
class QueueLoad:
    """A queue as it was at `taken_at` (steady clock): one entry of `left_s` for each slot, how long
    it will probably still be busy, in order; 0.0 for a free one."""

    stats: QueueStats
    slots: int
    left_s: tuple[float, ...]
    longest_run_s: float
    taken_at: float
    served: int
    """Commands that its modules had ended by then, as far as this host has seen it."""

    @property
    def free_slots(self) -> int:
        return max(0, self.slots - self.stats.running)

    def wait_s(self, position: int) -> float | None:
        """When the command at that place (1 = next) will start; None while nothing has ended."""
        mean_s = self.stats.mean_run_s
        if mean_s is None:
            return None
        age_s = time.monotonic() - self.taken_at
        now = sorted(_later(left_s, age_s, mean_s) for left_s in self.left_s)
        round_, slot = divmod(max(1, position) - 1, len(now))
        return now[slot] + round_ * mean_s


def _later(left_s: float, age_s: float, mean_s: float) -> float:
    """What is left of a slot's command after `age_s`, the slot having been filled again."""
    if left_s >= age_s or mean_s <= 0:
        return max(0.0, left_s - age_s)
    return mean_s - math.fmod(age_s - left_s, mean_s)


class Place(NamedTuple):
    """Where a command stands in its queue: 0 = running or ended, n = the n-th of those that wait.

    `wait_s` is when it will probably start; None where nothing is known.
    """

    position: int = 0
    wait_s: float | None = None


RUNS = Place()


class LoadWatch:
    """Knows the load of each queue; `module_of` says whose queue it is."""

    def __init__(
        self, store: CommandStore, registry: ModuleRegistry, module_of: Mapping[str, str]
    ) -> None:
        self._store = store
        self._registry = registry
        self._module_of = module_of
        self._known: dict[str, QueueLoad] = {}
        self._looking: set[str] = set()

    async def place(self, command: Command) -> Place:
        """Where a command stands now, and when it will probably start."""
        if command.state is not State.QUEUED:
            return RUNS
        position = await self._store.position(command.id)
        if position == 0:  # claimed since it was read
            return RUNS
        return Place(position, (await self.of(command.queue)).wait_s(position))

    async def of(self, queue: str) -> QueueLoad:
        """The queue's load, as fresh as it needs to be (a little older while it is looked at)."""
        known = self._known.get(queue)
        if known is not None and (queue in self._looking or self._is_fresh(queue, known)):
            return known
        self._looking.add(queue)
        try:
            return await self.look(queue)
        finally:
            self._looking.discard(queue)

    def _is_fresh(self, queue: str, known: QueueLoad) -> bool:
        age_s = time.monotonic() - known.taken_at
        if age_s < KEEP_AFTER_END_S:
            return True
        return age_s < KEEP_S and known.served == self._served(queue)

    def _served(self, queue: str) -> int:
        instances = self._registry.instances(self._module_of.get(queue, ""))
        return sum(one.commands_served for one in instances)

    async def look(self, queue: str) -> QueueLoad:
        """The queue's load as it is now."""
        served = self._served(queue)
        stats = await self._store.stats(queue)
        elapsed_s: list[float] = []
        slots = 0
        for instance in self._registry.instances(self._module_of.get(queue, "")):
            if instance.is_alive:
                slots += slots_of(instance)
                elapsed_s += await self._elapsed_s(queue, instance)
        left_s = [max(0.0, (stats.mean_run_s or 0.0) - one) for one in elapsed_s]
        # what runs on instances that this host has not heard of yet is half done, on average
        left_s += [(stats.mean_run_s or 0.0) / 2] * (stats.running - len(left_s))
        left_s += [0.0] * (slots - len(left_s))
        load = QueueLoad(
            stats=stats,
            slots=slots,
            left_s=tuple(sorted(left_s)) or (0.0,),
            longest_run_s=max(elapsed_s, default=0.0),
            taken_at=time.monotonic(),
            served=served,
        )
        self._known[queue] = load
        return load

    async def _elapsed_s(self, queue: str, instance: Instance) -> list[float]:
        now = time.time()
        running = await self._store.running(instance.instance_id)
        return [now - (one.started_at or now) for one in running if one.queue == queue]


def slots_of(instance: Instance) -> int:
    """How many commands an instance takes at once; one of the field's SDK takes one long one."""
    if not instance.is_ready:
        return 0
    said = instance.status.get("slots")
    return said if isinstance(said, int) and 0 < said <= MAX_SLOTS else 1
