"""Who gets a slot, where it begins, and who gives way.

Invariant: a sequence is either waiting or in a slot; one that steps back loses its cells only, and
is admitted again before younger ones. Called by the engine's thread alone.
"""

from __future__ import annotations

import bisect
import logging
import time
from collections.abc import Callable

from llama_engine.memory.disk_cache import WORTH_TOKENS, DiskCache
from llama_engine.memory.kv_cache import KvCache, Slot
from llama_engine.memory.prefixes import PrefixPlan, plan_prefix
from llama_engine.memory.snapshots import SnapshotStore
from llama_engine.schedule.counts import EngineCounts
from llama_engine.schedule.sequence import Sequence
from llama_engine.text.tokens import view

logger = logging.getLogger(__name__)

_SAVED_TOKENS = 64
"""A kept prefix shorter than this is not worth a copy when its slot is wanted."""
_STEPS_WITH_HOLE = 3
"""A gap between the streams in use is closed after so many steps: a newcomer may fill it sooner."""

_LONGEST_MOVE_MS = 100.0
"""Nobody generates meanwhile."""


class Admission:
    """The waiting sequences, and the slots they wait for."""

    def __init__(
        self,
        cache: KvCache,
        snapshots: SnapshotStore,
        counts: EngineCounts,
        shared_tokens: int | None,
        disk: DiskCache | None,
        wake: Callable[[], None],
    ) -> None:
        self._cache = cache
        self._snapshots = snapshots
        self._counts = counts
        self._shared_tokens = shared_tokens
        """Size of the pool of cells; None where each slot has cells of its own."""
        self._disk = disk
        self._wake = wake
        """Called when something was fetched from the disk."""
        self._steps_with_hole = 0
        self._move_ms = 0.0
        """What moving a token's cells took last time."""
        self._users: list[Sequence | None] = [None for _ in cache.slots]
        """Who is in which slot."""
        self.waiting: list[Sequence] = []
        """In the order of arrival."""

    @property
    def running(self) -> list[Sequence]:
        """The sequences in slots, in the slots' order."""
        return [sequence for sequence in self._users if sequence is not None]

    def add(self, sequence: Sequence) -> None:
        bisect.insort(self.waiting, sequence, key=lambda each: each.number)

    def admit(self) -> list[Sequence]:
        """Give slots to those who can start; returns them."""
        running = self.running
        for sequence in running:
            sequence.pause_at = 0
        admitted: list[Sequence] = []
        for sequence in list(self.waiting):
            if not self._cache.free_slots:
                break
            plan = self._plan(sequence)
            if self._is_being_fetched(sequence, plan):
                continue
            if plan.leader is not None:
                self._pause(plan.leader, plan.leader_length)
            elif not self._has_room(sequence, plan):
                break
            else:
                self._start(sequence, plan)
                admitted.append(sequence)
        return admitted

    def _plan(self, sequence: Sequence) -> PrefixPlan:
        """The snapshots as last time, if nothing has changed: who waits asks in every step."""
        tokens = view(sequence.tokens)[:-1]
        version = self._snapshots.version
        if sequence.kept is None or sequence.kept[0] != version:
            sequence.kept = (version, *self._snapshots.best(tokens, self._cache.can_cut))
        return plan_prefix(tokens, self._cache, sequence.kept[1:])

    def _pause(self, leader: Slot, length: int) -> None:
        """Let a prompt's evaluation stop where a follower can take over."""
        sequence, held = self._users[leader.index], leader.length
        if sequence is None or length <= held:
            return
        if sequence.pause_at <= held or length < sequence.pause_at:
            sequence.pause_at = length

    def _is_being_fetched(self, sequence: Sequence, plan: PrefixPlan) -> bool:
        """Whether its beginning is on its way from the disk, where more is than anywhere else."""
        if self._disk is None or sequence.completion_tokens:
            return False
        if sequence.fetch is None:
            tokens = view(sequence.tokens)[:-1]
            key, length = self._disk.find(tokens, self._cache.can_cut)
            if key is None or length < max(plan.length, plan.leader_length) + WORTH_TOKENS:
                return False
            sequence.fetch = self._disk.load(key, self._snapshots, self._wake)
        return not sequence.fetch.done()

    def _has_room(self, sequence: Sequence, plan: PrefixPlan) -> bool:
        """Whether the pool will hold it beside the others, as far as is known."""
        running = self.running
        if self._shared_tokens is None or not running:
            return True
        if sequence.barred_until > self._counts.finished:
            return False
        used = sum(len(each.tokens) - each.shared_tokens for each in running)
        return used + len(sequence.tokens) - plan.length < self._shared_tokens

    def _start(self, sequence: Sequence, plan: PrefixPlan) -> None:
        slot = self._place(plan, sequence)
        self.waiting.remove(sequence)
        if not sequence.started_s:
            sequence.started_s = time.monotonic()
        sequence.shared_tokens = plan.length if slot is not plan.slot else 0
        self._cache.occupy(slot, sequence.tokens)
        self._users[slot.index], sequence.slot = sequence, slot
        sequence.begun_tokens = slot.length
        if not sequence.completion_tokens:
            sequence.cached_tokens = slot.length
            self._counts.cached_tokens += slot.length

    def _place(self, plan: PrefixPlan, sequence: Sequence) -> Slot:
        """A slot that holds the planned prefix, or what little it has in common by chance."""
        others = [slot for slot in self._cache.free_slots if slot is not plan.slot]
        if plan.slot is not None and plan.slot.is_free and (plan.can_take_over or not others):
            if not plan.can_take_over:
                self._save(plan.slot)
            self._cache.cut(plan.slot, plan.length)
            return plan.slot
        target = others[0]
        self._save(target)
        if plan.slot is not None:
            self._cache.copy(plan.slot, target, plan.length)
        elif plan.snapshot is not None:
            self._cache.restore(plan.snapshot, target, plan.length)
            self._snapshots.touch(plan.snapshot)
        else:
            self._keep_common(target, sequence)
        return target

    def _keep_common(self, slot: Slot, sequence: Sequence) -> None:
        """Drop what a slot holds, up to where it differs: a chat template's first words are free.

        With a seed all goes: the rest would be evaluated in other pieces, and round differently.
        """
        tokens = view(sequence.tokens)[:-1]
        length = 0 if sequence.keeps_last_apart else self._cache.common(slot, tokens)
        self._cache.cut(slot, length)

    def _save(self, slot: Slot) -> None:
        """Keep a copy of what a slot holds, if that is much and not kept yet."""
        if slot.length < _SAVED_TOKENS or self._snapshots.has(slot.tokens[: slot.length]):
            return
        if self._snapshots.can_hold(self._cache.size_bytes(slot)):
            self._snapshots.add(self._cache.save(slot))

    def leave(self, sequence: Sequence) -> None:
        """Take a sequence out. Its cells stay for the next one that begins like it."""
        slot = sequence.slot
        if slot is None:
            if sequence in self.waiting:
                self.waiting.remove(sequence)
            return
        if self._disk is not None and self._disk.is_worth_saving(slot.held):
            self._disk.save(self._cache.save(slot))
        self._release(sequence, slot)

    def _release(self, sequence: Sequence, slot: Slot) -> None:
        self._cache.release(slot)
        self._users[slot.index] = sequence.slot = None

    def make_room(self) -> bool:
        """Free cells of the pool: kept ones first, then the youngest sequence's. False: none."""
        kept = [slot for slot in self._cache.free_slots if slot.length]
        if kept:
            self._save(kept[0])
            self._cache.clear(kept[0])
            return True
        running = self.running
        if len(running) < 2:
            return False
        self.step_back(max(running, key=lambda each: each.number))
        return True

    def step_back(self, sequence: Sequence) -> None:
        """Take a sequence's cells away; it goes on later by evaluating its tokens again."""
        slot = sequence.slot
        if slot is not None:
            self._release(sequence, slot)
            self._cache.clear(slot)
        sequence.barred_until = self._counts.finished + 1
        self._counts.stepped_back += 1
        logger.info("No KV cells left: sequence %d steps back", sequence.number)
        self.add(sequence)

    def close_holes(self) -> None:
        """Move a sequence so that the streams in use are neighbours: llama.cpp takes neighbours
        in one pass over the weights. One move a step at most."""
        taken = [each for each in self.running if each.is_generating]
        free = [slot for slot in self._cache.slots if slot.is_free]
        last = max((each.slot.index for each in taken if each.slot), default=0)
        if self._shared_tokens is not None or not free or free[0].index > last:
            self._steps_with_hole = 0
            return
        self._steps_with_hole += 1
        if self._steps_with_hole > _STEPS_WITH_HOLE:
            self._move(self._cache.slots[last], free[0])

    def _move(self, slot: Slot, free: Slot) -> None:
        """Let a sequence change its slot for a free one, unless that would take too long."""
        tokens = slot.length + free.length
        if tokens * self._move_ms > _LONGEST_MOVE_MS:
            return
        started = time.perf_counter()
        self._cache.swap(free, slot)
        sequence, self._users[slot.index] = self._users[slot.index], None
        if sequence is not None:
            self._users[free.index], sequence.slot = sequence, free
        self._move_ms = (time.perf_counter() - started) * 1e3 / max(tokens, 1)
        self._counts.moved += 1
