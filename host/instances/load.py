"""How busy a queue is, and when a command in it will probably start.

A queue is served by slots: those that run now, and those that its modules have free. Slots that
take the measured mean each give the n-th waiting command its time. Invariant: an estimate costs a
status poll no more than arithmetic; what it rests on is asked for every `KEEP_S` at most, and every
`KEEP_MOVING_S` where a command has ended since, or a slot was free: one that was filled since, or
filled again a little earlier than it was thought, would else be a whole run off.
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
KEEP_MOVING_S = 0.005
MAX_SLOTS = 1000  # what a module says of itself is believed up to here


@dataclass(frozen=True)
class QueueLoad:
    """A queue as it was at `taken_at` (steady clock): one entry of `left_s` for each busy slot, how
    long it will probably still be busy."""

    stats: QueueStats
    slots: int
    left_s: tuple[float, ...]
    longest_run_s: float
    taken_at: float
    served: int
    """Commands that its modules had ended by then, as far as this host has seen it."""
    begun: int = 0
    """Commands that had begun by then, likewise."""

    @property
    def free_slots(self) -> int:
        return max(0, self.slots - len(self.left_s))

    def wait_s(self, position: int, begun: int = 0) -> float | None:
        """When the command at that place (1 = next) will start; None while nothing has ended.

        `begun` is how many have begun in that queue since the load was taken.
        """
        mean_s = self.stats.mean_run_s
        if mean_s is None:
            return None
        age_s = time.monotonic() - self.taken_at
        filled = min(self.free_slots, begun)
        left_s = (*self.left_s, *[mean_s + age_s] * filled)
        busy = sorted(_later(one_s, age_s, mean_s) for one_s in left_s)
        now = [0.0] * (self.free_slots - filled) + busy or [0.0]
        round_, slot = divmod(max(1, position) - 1, len(now))
        return now[slot] + round_ * mean_s


def _later(left_s: float, age_s: float, mean_s: float) -> float:
    """What is left of a slot's command after `age_s`. One that is over its time is late at first;
    by half a run, it will have ended unseen, and the slot have been filled again."""
    over_s = age_s - left_s
    if mean_s <= 0 or over_s <= mean_s / 2:
        return max(0.0, -over_s)
    return mean_s - math.fmod(over_s, mean_s)


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
        self,
        store: CommandStore,
        registry: ModuleRegistry,
        module_of: Mapping[str, str],
        begun: Mapping[str, int],
    ) -> None:
        self._store = store
        self._registry = registry
        self._module_of = module_of
        self._begun = begun
        self._known: dict[str, QueueLoad] = {}
        self._looking: set[str] = set()

    async def place(self, command: Command) -> Place:
        """Where a command stands now, and when it will probably start."""
        if command.state is not State.QUEUED:
            return RUNS
        load = await self.of(command.queue)
        position = await self._store.position(command.id)  # last: else it may have begun itself
        if position == 0:  # claimed since it was read
            return RUNS
        return Place(position, load.wait_s(position, self._begun[command.queue] - load.begun))

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
        if age_s < KEEP_MOVING_S:
            return True
        is_settled = not known.free_slots and known.served == self._served(queue)
        return is_settled and age_s < KEEP_S

    def _served(self, queue: str) -> int:
        return self._registry.served(self._module_of.get(queue, ""))

    async def look(self, queue: str) -> QueueLoad:
        """The queue's load as it is now."""
        served, begun = self._served(queue), self._begun[queue]
        stats = await self._store.stats(queue)
        known = self._registry.instances(self._module_of.get(queue, ""))
        instances = [one for one in known if one.is_alive]
        slots = sum(slots_of(one) for one in instances)
        busy = await self._store.busy(*(one.instance_id for one in instances))
        elapsed_s = [one.run_s for one in busy if one.queue == queue]
        left_s = [max(0.0, (stats.mean_run_s or 0.0) - one) for one in elapsed_s]
        # what runs on instances that this host has not heard of yet is half done, on average
        left_s += [(stats.mean_run_s or 0.0) / 2] * (stats.running - len(left_s))
        load = QueueLoad(
            stats=stats,
            slots=slots,
            left_s=tuple(left_s),
            longest_run_s=max(elapsed_s, default=0.0),
            taken_at=time.monotonic(),
            served=served,
            begun=begun,
        )
        self._known[queue] = load
        return load


def slots_of(instance: Instance) -> int:
    """How many commands an instance takes at once; one of the field's SDK takes one long one."""
    if not instance.is_ready:
        return 0
    said = instance.status.get("slots")
    return said if isinstance(said, int) and 0 < said <= MAX_SLOTS else 1
