"""What was chosen for an engine, and what llama.cpp really uses."""

from __future__ import annotations

from dataclasses import dataclass

from llama_engine.gguf.header import GgufHeader
from llama_engine.plan.context_plan import ContextPlan


@dataclass(frozen=True)
class EngineFacts:
    """Told in the log and in the module's status."""

    header: GgufHeader
    plan: ContextPlan
    device: str
    """`GPU` or `CPU`: where llama.cpp really put weights."""
    library: str
    """The accelerator's library, such as `CUDA`; empty on a CPU."""
    threads: int
    """For steps of a few rows."""
    layers: dict[str, int]
    """How many are where, by the device's name; what follows the last one counts as one more."""
