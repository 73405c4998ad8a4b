"""What this machine has for a model: free memory and cores, as far as this process may use them."""

from __future__ import annotations

import psutil

from llama_engine.machine import control_groups


def available_memory_bytes() -> int:
    """What a new allocation can have: the system's, or the control groups' where that is less."""
    free = int(psutil.virtual_memory().available)
    limit = control_groups.free_bytes()
    return free if limit is None else min(free, limit)


def memory_name() -> str:
    """What to call it, so that nobody wonders where the rest of the machine's memory is."""
    limit = control_groups.free_bytes()
    is_limited = limit is not None and limit < int(psutil.virtual_memory().available)
    return "memory (a control group's limit)" if is_limited else "memory"


def usable_cores() -> int:
    """Cores for llama.cpp's threads: physical ones, that this process may use, within its quota.

    Threads wait for each other, so one more than the quota pays for makes all of them wait.
    """
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    process = psutil.Process()
    if hasattr(process, "cpu_affinity"):  # not on macOS
        cores = min(cores, len(process.cpu_affinity() or []) or cores)
    quota = control_groups.cores()
    return max(1, cores if quota is None else min(cores, int(quota)))
