"""How many threads the next step gets: all, or one less while others want a core.

Invariant: the choice follows what steps took, both ways tried next to each other at the same number
of replies; a try that is expected to be slow is rare.

llama.cpp's threads wait for each other hundreds of times in a step. When another process keeps one
of their cores busy, every such wait lasts until that one is scheduled again, and all threads
together are slower than one less of them would be.
"""

from __future__ import annotations

_TRY_STEPS = 2
_FIRST_PAUSE_MS = 2_000.0
"""Between tries; always that where one thread less is in use, since the others may be gone."""
_LONGEST_PAUSE_MS = 30_000.0
_SHORTEST_PAUSE_MS = 300.0
"""Between tries of one thread less: doubled each time that it is no better."""
_SLOWDOWN = 1.6
"""A step that takes so many times longer than the best one is a reason to try at once."""
_FORGETTING = 1.005
"""Steps get longer as conversations do."""
_GAIN = 0.93
"""The other way is taken if it needs no more than this share of the time."""
_WEIGHT = 0.2


class ThreadChoice:
    """Chooses between `most` threads and one less. With `most` 1 there is nothing to choose."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.threads = most
        """For the next step."""
        self._usual_ms: dict[int, float] = {}
        """What a step of so many replies takes with the threads chosen now."""
        self._best_ms: dict[int, float] = {}
        """The shortest such a step was with all threads, slowly forgotten."""
        self._tried_ms: list[float] = []
        """What the steps of a try took; a try is on while the choice is not `self.threads`."""
        self._is_trying = False
        self._generating = 0
        self._pause_ms = _FIRST_PAUSE_MS
        self._since_ms = 0.0

    def learn(self, generating: int, took_ms: float) -> None:
        """Take note of a step of replies only; `threads` is for the next one then."""
        if self.most < 2 or not generating:
            return
        if self._is_trying:
            self._learn_try(generating, took_ms)
            return
        usual_ms = self._usual_ms.get(generating, took_ms)
        self._usual_ms[generating] = usual_ms + _WEIGHT * (min(took_ms, 4 * usual_ms) - usual_ms)
        self._since_ms += took_ms
        is_slow = self._is_slow(generating, took_ms) and self._since_ms > _SHORTEST_PAUSE_MS
        if is_slow or self._since_ms >= self._pause_ms:
            self._begin_try(generating)

    def _is_slow(self, generating: int, took_ms: float) -> bool:
        """Whether all threads are slower than they were not long ago."""
        if self.threads < self.most:
            return False
        best_ms = min(took_ms, _FORGETTING * self._best_ms.get(generating, took_ms))
        self._best_ms[generating] = best_ms
        return took_ms > _SLOWDOWN * best_ms

    def _begin_try(self, generating: int) -> None:
        self._is_trying, self._generating, self._tried_ms = True, generating, []
        self._swap()

    def _learn_try(self, generating: int, took_ms: float) -> None:
        if generating != self._generating:  # nothing to compare with: try again at once
            self._is_trying, self._since_ms = False, self._pause_ms
            self._swap()
            return
        self._tried_ms.append(took_ms)
        best_ms, usual_ms = min(self._tried_ms), self._usual_ms[generating]
        if took_ms > usual_ms:
            self._end_try(is_better=False)
        elif len(self._tried_ms) == _TRY_STEPS:
            self._end_try(is_better=best_ms < _GAIN * usual_ms)

    def _end_try(self, is_better: bool) -> None:
        self._is_trying, self._since_ms = False, 0.0
        if is_better:
            self._usual_ms = {self._generating: min(self._tried_ms)}
            self._pause_ms = _FIRST_PAUSE_MS
        else:
            self._swap()
            is_less = self.threads < self.most
            longer_ms = min(2 * self._pause_ms, _LONGEST_PAUSE_MS)
            self._pause_ms = _FIRST_PAUSE_MS if is_less else longer_ms

    def _swap(self) -> None:
        self.threads = self.most - 1 if self.threads == self.most else self.most
