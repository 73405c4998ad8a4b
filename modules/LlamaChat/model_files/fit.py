"""Whether a model fits what this machine has free now, by the size of its file.

Invariant: the same margins as when it is loaded; what is said here is no promise, since a context
longer than the shortest one needs more.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from llama_engine.machine import devices, machine_limits
from llama_engine.plan.context_plan import COMPUTE_BYTES
from llama_engine.plan.placement import MARGIN_BYTES

_LEAST_CACHE_BYTES = 128 * 1024**2
"""About what the shortest context of a middling model takes."""
_GIB = 1024**3


class Fit(str, Enum):
    """How a model would lie."""

    FITS = "fits"
    PARTLY = "partly"
    """Some layers on accelerators, the others in the machine's memory: slower."""
    TOO_LARGE = "too_large"

    def in_words(self) -> str:
        """For a column of a list."""
        return {"fits": "fits", "partly": "fits partly on GPU"}.get(self.value, "too large")


@dataclass(frozen=True)
class FreeMemory:
    """What is free now, in bytes."""

    memory_bytes: int
    accelerators: tuple[devices.Device, ...] = ()
    memory_name: str = "memory"

    @classmethod
    def now(cls) -> FreeMemory:
        found = tuple(devices.accelerators())
        return cls(machine_limits.available_memory_bytes(), found, machine_limits.memory_name())

    def fit(self, weight_bytes: int) -> Fit:
        """For a model with weights of that size."""
        needed = weight_bytes + COMPUTE_BYTES + _LEAST_CACHE_BYTES
        own = [device for device in self.accelerators if not device.shares_memory]
        usable = sum(max(0, device.free_bytes - MARGIN_BYTES) for device in own)
        if needed <= (usable if own else self.memory_bytes):
            return Fit.FITS
        return Fit.PARTLY if own and needed <= usable + self.memory_bytes else Fit.TOO_LARGE

    def __str__(self) -> str:
        parts = [f"{self.memory_bytes / _GIB:.1f} GiB of {self.memory_name}"]
        parts += [
            f"{device.free_bytes / _GIB:.1f} GiB on {device.name} (of which "
            f"{MARGIN_BYTES // _GIB} GiB is kept back)"
            for device in self.accelerators
        ]
        return ", ".join(parts)
