"""The KV cache: which slot holds the cells of which tokens.

Invariant: a slot's `length` first `tokens` are in llama.cpp's memory under the slot's index, with
positions 0 to `length` - 1, and nothing else is there. What memory refuses to keep (recurrent
models cannot be cut, a sliding window forgets) leaves the slot empty, never wrong.
"""

from __future__ import annotations

import itertools
from array import array

from llama_engine.llama.context import Context
from llama_engine.memory.snapshots import Snapshot
from llama_engine.text.tokens import Tokens, common_length, view

_clock = itertools.count(1)


class Slot:
    """A place for one sequence's cells: in use, or kept for whoever comes next."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.tokens: array[int] = array("i")
        """Of who uses it; may go on beyond `length`, with what is still to be evaluated."""
        self.length = 0
        self.is_free = True
        self.used_at = 0
        """When it was last given back; the smallest is the least recently used."""

    @property
    def held(self) -> Tokens:
        """The tokens whose cells are there. Let go of it before `tokens` grows."""
        return view(self.tokens)[: self.length]

    @property
    def is_generating(self) -> bool:
        """Whether one more row gives its user one more token."""
        return not self.is_free and len(self.tokens) - self.length == 1


class KvCache:
    """The slots over a context's sequences."""

    def __init__(self, context: Context, can_cut: bool) -> None:
        self._context = context
        self._window = context.model.window_tokens
        self.can_cut = can_cut
        """Whether a sequence's end can be dropped and the rest kept."""
        self.is_shared = context.is_shared
        """Whether slots can share cells; otherwise each has copies of its own."""
        self.slots = [Slot(index) for index in range(context.sequences)]

    @property
    def free_slots(self) -> list[Slot]:
        """Slots that nobody uses: empty ones first, then the least recently used."""
        free = [slot for slot in self.slots if slot.is_free]
        return sorted(free, key=lambda slot: (slot.length > 0, slot.used_at, slot.index))

    def occupy(self, slot: Slot, tokens: array[int]) -> None:
        """Give a slot to whose tokens these are; its cells must be a beginning of them."""
        slot.tokens, slot.is_free = tokens, False

    def release(self, slot: Slot) -> None:
        """Take the slot back and keep its cells for later."""
        slot.is_free = True
        slot.used_at = next(_clock)

    def clear(self, slot: Slot) -> None:
        """Drop all cells of a slot."""
        self._context.remove(slot.index, 0)
        slot.length = 0
        if slot.is_free:
            slot.tokens = array("i")

    def usable(self, slot: Slot, length: int) -> int:
        """How many cells could be kept for a prompt that agrees in the first `length` tokens."""
        if self.can_cut:
            return min(length, slot.length)
        return slot.length if slot.length <= length else 0

    def cut(self, slot: Slot, length: int) -> int:
        """Keep the first `length` cells; returns how many are kept, which may be none."""
        if length <= 0:
            self.clear(slot)
        elif not self._context.remove(slot.index, length) or not self._reaches(slot, length):
            self.clear(slot)
        else:
            slot.length = min(slot.length, length)
        return slot.length

    def _reaches(self, slot: Slot, length: int) -> bool:
        """Whether all cells are there that the token at `length` attends to."""
        if not slot.length:
            return True
        first = self._context.first_position(slot.index)
        last = self._context.last_position(slot.index)
        oldest = max(0, length - self._window) if self._window else first
        return last == min(slot.length, length) - 1 and 0 <= first <= oldest

    def copy(self, source: Slot, target: Slot, length: int) -> int:
        """Let `target` begin as `source` does; returns how many cells it has."""
        self.clear(target)
        if self._context.is_shared:
            self._context.share(source.index, target.index, length)
            target.tokens, target.length = source.tokens[:length], length
            return self.cut(target, length)
        return self.restore(self.save(source), target, length)

    def save(self, slot: Slot) -> Snapshot:
        """A copy of a slot's cells in memory."""
        data = self._context.state(slot.index)
        return Snapshot(slot.tokens[: slot.length], data)

    def size_bytes(self, slot: Slot) -> int:
        """How large a copy would be."""
        return self._context.state_bytes(slot.index)

    def restore(self, snapshot: Snapshot, target: Slot, length: int) -> int:
        """Put the beginning of a snapshot into a slot; returns how many cells it has."""
        self.clear(target)
        if not len(snapshot.data) or not self._context.set_state(target.index, snapshot.data):
            return 0
        target.tokens, target.length = snapshot.tokens[:], len(snapshot.tokens)
        return self.cut(target, length)

    def swap(self, one: Slot, other: Slot) -> None:
        """Exchange the contents of two slots. Who used one of them has to use the other then."""
        contents = [
            (self.save(slot), slot.tokens, slot.is_free, slot.used_at) for slot in (other, one)
        ]
        for slot, (snapshot, tokens, is_free, used_at) in zip((one, other), contents, strict=True):
            slot.is_free, slot.used_at = True, used_at
            self.restore(snapshot, slot, len(snapshot.tokens))
            if not is_free:
                self.occupy(slot, tokens)

    def common(self, slot: Slot, tokens: Tokens) -> int:
        """How many of a prompt's first tokens the slot has cells of, as far as they can be kept."""
        return self.usable(slot, common_length(slot.held, tokens))
