"""Which processor this is, as far as a compiled program depends on it.

Invariant: two processors with the same `key` run the same machine code; what cannot be found out
makes a processor more special, never more common.
"""

from __future__ import annotations

import hashlib
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")

_X86_FEATURE = re.compile(
    r"(sse\d?\w*|ssse3|pni|avx\w*|fma|f16c|bmi\d|abm|movbe|popcnt|amx_\w+|aes|vaes|"
    r"v?pclmulqdq|gfni|sha_ni|lahf_lm|cx16)"
)
"""Of the many flags in /proc/cpuinfo those that compilers make instructions from: the others change
with the kernel and the hypervisor."""
_V2 = {"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"}
_V3 = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"}
_V4 = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}


@dataclass(frozen=True)
class Processor:
    """What a build is made for."""

    machine: str
    """The architecture: `x86_64` or `arm64`, whatever the system calls it."""
    name: str
    model: str
    """Family, model and stepping, or what there is of the kind."""
    features: frozenset[str]

    @property
    def key(self) -> str:
        """Twelve letters and digits that are the same for the same kind of processor."""
        parts = [self.machine, self.name, self.model, *sorted(self.features)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    @property
    def x86_level(self) -> int:
        """The x86-64 level (psABI): 1 to 4; 0 for other architectures."""
        if self.machine != "x86_64":
            return 0
        needed = set[str]()
        for level, features in ((2, _V2), (3, _V3), (4, _V4)):
            needed |= features
            if not needed <= self.features:
                return level - 1
        return 4

    @property
    def has_amx(self) -> bool:
        return "amx_tile" in self.features

    def __str__(self) -> str:
        level = f", x86-64-v{self.x86_level}" if self.x86_level else ""
        return f"{self.name} ({self.machine}{level}{' with AMX' if self.has_amx else ''})"


def this_processor() -> Processor:
    """Ask the system."""
    system = platform.system()
    if system == "Linux" and CPUINFO.exists():
        return from_cpuinfo(CPUINFO.read_text(encoding="utf-8", errors="replace"), _machine())
    if system == "Darwin":
        name = _sysctl("machdep.cpu.brand_string") or platform.processor()
        features = _sysctl("machdep.cpu.features") + " " + _sysctl("machdep.cpu.leaf7_features")
        model = _sysctl("hw.cpufamily")
        return Processor(_machine(), name, model, frozenset(features.lower().split()))
    return Processor(_machine(), platform.processor() or "unknown", "", frozenset())


def from_cpuinfo(text: str, machine: str) -> Processor:
    """The first processor that Linux lists."""
    facts: dict[str, str] = {}
    for line in text.split("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip().lower(), value.strip())
    features = facts.get("flags", facts.get("features", "")).split()
    if machine == "x86_64":
        features = [flag for flag in features if _X86_FEATURE.fullmatch(flag)]
    model = "-".join(
        facts[name]
        for name in (
            "cpu family", "model", "stepping", "cpu implementer", "cpu part", "cpu variant",
        )
        if name in facts
    )  # fmt: skip
    return Processor(machine, facts.get("model name", machine), model, frozenset(features))


def _machine() -> str:
    machine = platform.machine().lower()
    return {"amd64": "x86_64", "aarch64": "arm64"}.get(machine, machine)


def _sysctl(name: str) -> str:
    try:
        result = subprocess.run(  # noqa: S603 - a fixed program
            ["/usr/sbin/sysctl", "-n", name],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip()
