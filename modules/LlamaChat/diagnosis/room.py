"""Whether a model fits: the same question that `llamachat models` asks.

Invariant: llama.cpp's libraries, which know the GPUs, are asked in a child process; where they do
not answer, the machine's memory alone counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from diagnosis.child import LookFailed, look

ASK_LIMIT_S = 60.0

_ASK = """
import json, sys
sys.path.insert(0, sys.argv[1])
from model_files.fit import Fit, FreeMemory
free = FreeMemory.now()
fit = free.fit(int(sys.argv[2]))
print(json.dumps({"fits": fit is not Fit.TOO_LARGE, "how": fit.in_words(), "free": str(free)}))
"""


@dataclass(frozen=True)
class Room:
    """The answer, and what is free in words."""

    fits: bool
    how: str
    free: str


def room_for(weight_bytes: int, module_path: Path, environment: Mapping[str, str]) -> Room:
    """For a model with weights of that size, on what the settings let it use."""
    if environment.get("CPAI_MODULE_ENABLE_GPU", "true").lower() != "false":
        try:
            said = look(["-c", _ASK, str(module_path), str(weight_bytes)], ASK_LIMIT_S)
            return Room(bool(said["fits"]), str(said["how"]), str(said["free"]))
        except (LookFailed, KeyError):
            pass
    return _in_memory(weight_bytes)


def _in_memory(weight_bytes: int) -> Room:
    from llama_engine.machine import machine_limits  # needs psutil
    from model_files.fit import Fit, FreeMemory

    free = FreeMemory(machine_limits.available_memory_bytes(), (), machine_limits.memory_name())
    fit = free.fit(weight_bytes)
    return Room(fit is not Fit.TOO_LARGE, fit.in_words(), str(free))
