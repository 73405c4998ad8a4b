"""What the control groups of this process still allow: memory, and processor time.

Invariant: the process's own group and every group above it count, in version 2 and in version 1;
the tightest one decides. What cannot be read limits nothing.

Inside a container the path in /proc/self/cgroup may be the host's, and only the top of the mounted
tree is there: groups that are not there are passed over, the top is always looked at.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

_UNLIMITED_BYTES = 2**60
"""Version 1 has no word for no limit: it says the largest number of whole pages."""


def free_bytes(root: Path = Path("/")) -> int | None:
    """The memory that a new allocation can have; None without a limit."""
    found = [_memory_v2(group) for group in _groups(root, "")]
    found += [_memory_v1(group) for group in _groups(root, "memory")]
    return min((free for free in found if free is not None), default=None)


def cores(root: Path = Path("/")) -> float | None:
    """How many cores' time the process may use; None without a quota."""
    found = [_quota(_text(group / "cpu.max")) for group in _groups(root, "")]
    for group in _groups(root, "cpu"):
        quota, period = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
        found.append(_quota(f"{quota} {period}"))
    return min((share for share in found if share is not None), default=None)


def _groups(root: Path, controller: str) -> list[Path]:
    """The folders of the process's group and those above it; controller "" is version 2."""
    found = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        names = controllers.split(",")
        if controller in names:
            mounts = ("", "unified") if not controller else (controller, controllers)
            tops = (root / "sys/fs/cgroup" / mount for mount in mounts)
            found += [folder for top in tops for folder in _upwards(top, PurePosixPath(path))]
    return found


def _upwards(top: Path, path: PurePosixPath) -> Iterable[Path]:
    if ".." in path.parts:  # a group outside of what this namespace shows
        path = PurePosixPath("/")
    folders = (top / group.relative_to("/") for group in (path, *path.parents))
    return [folder for folder in folders if folder.is_dir()]


def _memory_v2(group: Path) -> int | None:
    limits = [_number(group / name) for name in ("memory.max", "memory.high")]
    used = _number(group / "memory.current")
    return _free(limits, used, _cache_bytes(group, ""))


def _memory_v1(group: Path) -> int | None:
    limits = [_number(group / "memory.limit_in_bytes")]
    used = _number(group / "memory.usage_in_bytes")
    return _free(limits, used, _cache_bytes(group, "total_"))


def _free(limits: Iterable[int | None], used: int | None, cache: int) -> int | None:
    real = [limit for limit in limits if limit is not None and limit < _UNLIMITED_BYTES]
    if not real or used is None:
        return None
    return max(0, min(real) - used + cache)


def _cache_bytes(group: Path, prefix: str) -> int:
    """The page cache is counted as used, and given back when asked for; shared memory is not."""
    wanted = {f"{prefix}active_file", f"{prefix}inactive_file"}
    rows = (line.split() for line in _text(group / "memory.stat").splitlines())
    return sum(int(row[1]) for row in rows if len(row) == 2 and row[0] in wanted)


def _quota(text: str) -> float | None:
    """Cores, of `quota period` in the same unit; no quota is `max` or -1."""
    parts = text.split()
    if len(parts) != 2 or not all(part.isdigit() for part in parts) or not int(parts[1]):
        return None
    return int(parts[0]) / int(parts[1])


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
