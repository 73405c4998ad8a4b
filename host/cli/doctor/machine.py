"""What the host needs of the machine: Python, memory, disk."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from host.cli.doctor.checks import Check, bad, good

OLDEST_PYTHON = (3, 10)
LEAST_MEMORY_BYTES = 256 * 2**20
"""For the host itself and its modules' interpreters; what a model needs, its module knows."""
LEAST_DISK_BYTES = 256 * 2**20

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    finding = f"{'.'.join(map(str, version))}, {sys.executable}"
    if version < OLDEST_PYTHON:
        return bad("python", finding, "install Python 3.10 or newer, then install this again")
    return good("python", finding)


def check_memory(groups: Path = _CGROUPS, own: Path = _OWN_CGROUP) -> Check:
    """The system's memory, or the control groups' where that is less."""
    system = psutil.virtual_memory()
    free, total, where = int(system.available), int(system.total), ""
    limit = min(_cgroup_limits(groups, own), default=None)
    if limit is not None and limit[1] < total:
        free, total, where = min(free, limit[0]), *limit[1:]
    finding = f"{_gb(free)} free of {_gb(total)}{where}"
    if free < LEAST_MEMORY_BYTES:
        return bad("memory", finding, "end what takes it, or raise the limit")
    return good("memory", finding)


def _cgroup_limits(groups: Path, own: Path) -> list[tuple[int, int, str]]:
    """(free, limit, name) of the process's own group and all above it that have a limit."""
    try:
        lines = own.read_text().splitlines()
    except OSError:  # no Linux
        return []
    path = next((line[3:] for line in lines if line.startswith("0::")), "/")
    group = groups / path.lstrip("/")
    found = [_cgroup_limit(one) for one in (group, *group.parents) if one.is_relative_to(groups)]
    return [one for one in found if one]


def _cgroup_limit(group: Path) -> tuple[int, int, str] | None:
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        stat = (group / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # "max": no limit
        return None
    # The page cache counts as used, and is given back when asked for.
    cache = next((int(line.split()[1]) for line in stat if line.startswith("file ")), 0)
    return max(0, limit - used + cache), limit, f", the limit of control group {group}"


def free_disk_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def check_disk(folder: Path, free_bytes: Callable[[Path], int] = free_disk_bytes) -> Check:
    """Room for commands and logs, where `folder` is or will be."""
    there = existing(folder)
    try:
        free = free_bytes(there)
    except OSError as error:
        return bad(
            "disk", f"{there}: {error.strerror}", "mend the disk, or name another --data-dir"
        )
    finding = f"{_gb(free)} free in {there}"
    if free < LEAST_DISK_BYTES:
        return bad(
            "disk", finding, "free some, or name another place: Server.DataDir or --data-dir"
        )
    return good("disk", finding)


def existing(path: Path) -> Path:
    """The path, or the nearest of those above it that this user can see."""
    return next(one for one in (path, *path.parents) if os.path.exists(one))


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
