"""Whether a launched module that seems to live does: it speaks, makes sense, and its work moves.

Invariant: only time in which this host itself was awake counts, so that neither a suspended machine
nor a host that was stopped for a while makes modules look dead.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_FAULTS = 10
_TESTING = "testing"  # it has loaded, and its self-test runs


@dataclass(frozen=True)
class Sign:
    """What a sign of life tells of its instance.

    `busy` is how many commands it claims to work on, `steps` any number that changes when text or a
    field was added to one of them, or one ended; `faults` how often in a row it sent nonsense.
    `state` is its own word for where it stands.
    """

    protocol: int = 2
    is_ready: bool = False
    state: str = ""
    busy: int = 0
    steps: int = 0
    faults: int = 0
    fault_words: str = ""


@dataclass(frozen=True)
class SilenceLimits:
    """In seconds; 0 is no limit. `slow_s` is for modules of protocol 1, which may block while they
    work, and for those that are still loading."""

    silent_s: float
    slow_s: float
    stalled_s: float
    start_s: float
    test_s: float


class Liveness:
    """One launch. `look_every_s` is how often `fault()` is asked; times are of any steady clock."""

    def __init__(self, limits: SilenceLimits, look_every_s: float, now_s: float) -> None:
        self._limits = limits
        self._longest_step_s = 2 * look_every_s
        self._looked_s = now_s
        self._sign: Sign | None = None
        self._silent_s = 0.0
        self._stalled_s = 0.0
        self._testing_s = 0.0

    def sign(self, sign: Sign) -> None:
        """The instance has spoken."""
        moved = self._sign is None or sign.steps != self._sign.steps
        if moved or not sign.busy or not self._sign or not self._sign.busy:
            self._stalled_s = 0.0
        if sign.state != _TESTING:
            self._testing_s = 0.0
        self._sign = sign
        self._silent_s = 0.0

    def fault(self, now_s: float) -> str | None:
        """What is wrong with it, in plain words; None while nothing is."""
        step_s = min(now_s - self._looked_s, self._longest_step_s)
        self._looked_s = now_s
        self._silent_s += step_s
        self._stalled_s += step_s
        self._testing_s += step_s
        if self._sign is None:
            return self._never_spoke()
        if self._sign.faults >= MOST_FAULTS:
            return self._sign.fault_words
        limit_s = self._silence_limit_s(self._sign)
        if _is_over(self._silent_s, limit_s):
            return f"it lives but has not spoken for {limit_s:g} s"
        if self._is_stalled(self._sign):
            limit_s = self._limits.stalled_s
            return f"it claims to work but made no progress for {limit_s:g} s (MaxSilentSecs)"
        limit_s = self._limits.test_s
        if self._sign.state == _TESTING and _is_over(self._testing_s, limit_s):
            return f"its self-test has not ended within {limit_s:g} s (MaxTestSecs)"
        return None

    def _never_spoke(self) -> str | None:
        limit_s = self._limits.start_s
        if not _is_over(self._silent_s, limit_s):
            return None
        return f"it lives but has not spoken since its launch {limit_s:g} s ago (MaxStartSecs)"

    def _silence_limit_s(self, sign: Sign) -> float:
        is_quick = sign.protocol >= 2 and sign.is_ready
        return self._limits.silent_s if is_quick else self._limits.slow_s

    def _is_stalled(self, sign: Sign) -> bool:
        is_working = sign.protocol >= 2 and sign.busy > 0
        return is_working and _is_over(self._stalled_s, self._limits.stalled_s)


def _is_over(seconds: float, limit_s: float) -> bool:
    return 0 < limit_s <= seconds
