"""What this machine has for a model: free memory and cores."""

from __future__ import annotations

from pathlib import Path

import psutil


def available_memory_bytes() -> int:
    """What a new allocation can have: the system's, or the container's where that is less."""
    free = int(psutil.virtual_memory().available)
    limit = _cgroup_free_bytes(Path("/sys/fs/cgroup"))
    return free if limit is None else min(free, limit)


def _cgroup_free_bytes(root: Path) -> int | None:
    """What the control group (version 2) still allows; None without one or without a limit."""
    try:
        limit = (root / "memory.max").read_text().strip()
        used = int((root / "memory.current").read_text())
        stat = (root / "memory.stat").read_text()
    except (OSError, ValueError):
        return None
    if not limit.isdigit():
        return None
    # The page cache is counted as used, and given back when asked for.
    cache = next((int(line.split()[1]) for line in stat.splitlines() if line[:5] == "file "), 0)
    return max(0, int(limit) - used + cache)


def physical_cores() -> int:
    """Cores for llama.cpp's threads: physical ones, and only those this process may use."""
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # not on macOS
        cores = min(cores, len(process.cpu_affinity() or []) or cores)
    return max(1, cores)
