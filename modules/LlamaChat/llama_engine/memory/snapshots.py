"""Copies of evaluated prefixes in memory, for when their slots are wanted by others.

Invariant: what is kept stays within `limit_bytes`, the least recently used going first; no prefix
is kept twice, nor beside a longer one that begins with it. May be used from any thread.
"""

from __future__ import annotations

import threading
from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llama_engine.text.tokens import Tokens, common_length, view

_MOST_KEPT = 512
"""Every newcomer's prompt is compared with each of them."""


@dataclass(eq=False)
class Snapshot:
    """The cells of a sequence (llama.cpp's state of it) and the tokens they belong to."""

    tokens: array[int]
    data: NDArray[np.uint8]

    @property
    def size_bytes(self) -> int:
        return int(self.data.nbytes) + len(self.tokens) * self.tokens.itemsize


class SnapshotStore:
    """Snapshots by their tokens."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._kept: dict[bytes, Snapshot] = {}
        """By tokens; the least recently used first."""
        self._bytes = 0
        self.version = 0
        """Changes with what is kept."""

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def __len__(self) -> int:
        return len(self._kept)

    def can_hold(self, size_bytes: int) -> bool:
        """Whether a snapshot of that size would be kept."""
        return 0 < size_bytes <= self._limit

    def add(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, if it is not larger than all that may be kept."""
        if not len(snapshot.data) or not self.can_hold(snapshot.size_bytes):
            return
        with self._lock:
            if self._refresh(snapshot):
                return
            self._kept[snapshot.tokens.tobytes()] = snapshot
            self._bytes += snapshot.size_bytes
            self.version += 1
            while self._bytes > self._limit or len(self._kept) > _MOST_KEPT:
                self._drop(next(iter(self._kept)))

    def has(self, tokens: array[int]) -> bool:
        """Whether these tokens, or more that begin with them, are kept."""
        key = tokens.tobytes()
        with self._lock:
            return any(kept.startswith(key) for kept in self._kept)

    def best(self, tokens: Tokens, can_cut: bool) -> tuple[Snapshot | None, int]:
        """The snapshot with most in common with a prompt, and how much that is."""
        best: tuple[Snapshot | None, int] = (None, 0)
        with self._lock:
            for snapshot in self._kept.values():
                length = common_length(view(snapshot.tokens), tokens)
                if not can_cut and length < len(snapshot.tokens):
                    continue
                if length > best[1]:
                    best = (snapshot, length)
        return best

    def touch(self, snapshot: Snapshot) -> None:
        """Count a snapshot as used just now."""
        key = snapshot.tokens.tobytes()
        with self._lock:
            if key in self._kept:
                self._kept[key] = self._kept.pop(key)

    def _refresh(self, snapshot: Snapshot) -> bool:
        """Drop what the new one makes superfluous; True where the new one is superfluous itself."""
        new = snapshot.tokens.tobytes()
        for key in list(self._kept):
            if key.startswith(new):
                self._kept[key] = self._kept.pop(key)
                return True
            if new.startswith(key):
                self._drop(key)
        return False

    def _drop(self, key: bytes) -> None:
        self._bytes -= self._kept.pop(key).size_bytes
