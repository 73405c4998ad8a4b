"""Leases: what an instance has claimed is its own for as long as it shows signs of life.

Invariants: an instance that lives renews long before its lease runs out, however often it speaks;
time for which this host itself was stopped makes no lease run out.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from host.instances.instance import Instance
from host.store.protocol import CommandStore


@dataclass(frozen=True)
class LeaseTerms:
    """How long signs of life last, in seconds. A module of the field's SDK polls every 15 s."""

    lease_s: float = 20.0
    part1_lease_s: float = 45.0
    renew_every_s: float = 2.0  # at most: many signs of life make one renewal

    def of(self, instance: Instance) -> float:
        return self.lease_s if instance.protocol >= 2 else self.part1_lease_s


class Leases:
    """Renews the leases of instances that speak to this host."""

    def __init__(self, store: CommandStore, terms: LeaseTerms) -> None:
        self._store = store
        self.terms = terms
        self._renewed: dict[str, float] = {}  # instance id -> when, by the steady clock
        self._lease_s: dict[str, float] = {}

    async def alive(self, instance: Instance) -> bool:
        """A sign of life; True when it is the first in a while. Raises StoreUnavailable."""
        now = time.monotonic()
        renewed = self._renewed.get(instance.instance_id)
        if renewed is not None and now - renewed < self.terms.renew_every_s:
            return False
        lease_s = self.terms.of(instance)
        await self._store.renew(instance.instance_id, lease_s)
        self._renewed[instance.instance_id] = now
        self._lease_s[instance.instance_id] = lease_s
        return renewed is None or now - renewed > lease_s

    def forget(self, instance_id: str) -> None:
        """The instance is gone: if it speaks again after all, it begins anew."""
        self._renewed.pop(instance_id, None)
        self._lease_s.pop(instance_id, None)

    async def begin_anew(self) -> None:
        """Give a whole lease to all whose signs of life come here: for a while nobody was here to
        see them. Raises StoreUnavailable."""
        for worker in await self._store.workers():
            lease_s = self._lease_s.get(worker)
            if lease_s is not None or not self._store.is_shared:
                await self._store.renew(worker, lease_s or self.terms.part1_lease_s)
