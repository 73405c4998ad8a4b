"""Where a newcomer's prompt begins already: in a slot, in a snapshot, or soon in another's prefill.

Invariant: planning changes nothing. A prompt's last token is never taken from a cache, since its
logits are wanted.
"""

from __future__ import annotations

from dataclasses import dataclass

from llama_engine.memory.kv_cache import KvCache, Slot
from llama_engine.memory.snapshots import Snapshot
from llama_engine.text.tokens import Tokens, common_length, view

WORTH_TOKENS = 16
"""A shorter prefix is evaluated rather than copied or waited for."""
MOST_COPIED = 16
"""Copies are of whole sequences: more tokens than this for each that is used are not copied."""
LOSS_TOKENS = 64
"""A kept slot is taken over by a prompt that shares its beginning only if no more than this much
of it is lost; otherwise the beginning is copied."""


@dataclass(frozen=True)
class PrefixPlan:
    """The best beginning there is for a prompt now, or what to wait for."""

    length: int = 0
    slot: Slot | None = None
    snapshot: Snapshot | None = None
    leader: Slot | None = None
    """In use, and the prompt that is still being evaluated there begins with more of the same."""
    leader_length: int = 0

    @property
    def can_take_over(self) -> bool:
        """Whether the slot itself should serve, losing little or nothing."""
        slot = self.slot
        return slot is not None and slot.is_free and slot.length - self.length <= LOSS_TOKENS


def plan_prefix(tokens: Tokens, cache: KvCache, kept: tuple[Snapshot | None, int]) -> PrefixPlan:
    """Look through the slots. `tokens` are the prompt's without the last one, `kept` is the best
    snapshot for them, and how much of it they begin with."""
    slot, length = _best_slot(cache, tokens)
    snapshot, stored = kept
    if stored > length:
        slot, length = None, stored
    else:
        snapshot = None
    if length < WORTH_TOKENS or _copied(slot, snapshot, cache) > length * MOST_COPIED:
        slot, snapshot, length = None, None, 0
    leader, coming = _best_leader(cache, tokens)
    if coming < length + WORTH_TOKENS:
        leader, coming = None, 0
    return PrefixPlan(length, slot, snapshot, leader, coming)


def _copied(slot: Slot | None, snapshot: Snapshot | None, cache: KvCache) -> int:
    """Tokens whose cells would be copied."""
    if slot is not None:
        return 0 if cache.is_shared else slot.length
    return len(snapshot.tokens) if snapshot is not None else 0


def _best_slot(cache: KvCache, tokens: Tokens) -> tuple[Slot | None, int]:
    """The slot with the longest usable prefix; of equals the one that can be taken over."""
    best: tuple[Slot | None, int] = (None, 0)
    for slot in cache.slots:
        length = cache.common(slot, tokens)
        if length > best[1] or (length == best[1] > 0 and _is_better(slot, best[0])):
            best = (slot, length)
    return best


def _is_better(slot: Slot, other: Slot | None) -> bool:
    return other is None or (slot.is_free and (not other.is_free or slot.length < other.length))


def _best_leader(cache: KvCache, tokens: Tokens) -> tuple[Slot | None, int]:
    best: tuple[Slot | None, int] = (None, 0)
    for slot in cache.slots:
        if slot.is_free or slot.is_generating:
            continue
        length = common_length(view(slot.tokens), tokens)
        if slot.length < length and length > best[1]:
            best = (slot, length)
    return best
