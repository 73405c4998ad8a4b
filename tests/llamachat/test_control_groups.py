"""Limits of control groups, read from trees as Linux shows them."""

from __future__ import annotations

from pathlib import Path

import control_groups
import pytest

V2, V1 = "0::/system.slice/chat.service\n", "4:memory:/box/chat\n2:cpu,cpuacct:/box/chat\n"


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def machine(tmp_path: Path, lines: str) -> Path:
    """A root whose process is in these groups; returns the folder of the mounted trees."""
    write(tmp_path / "proc" / "self", cgroup=lines)
    return tmp_path / "sys" / "fs" / "cgroup"


STAT = "anon 500\nfile 190\ninactive_file 100\nactive_file 50\nshmem 40"


def test_a_limit_of_the_own_group(tmp_path: Path) -> None:
    own = machine(tmp_path, V2) / "system.slice" / "chat.service"
    write(own, memory__max=1000, memory__current=700, memory__stat=STAT, cpu__max="150000 100000")
    assert control_groups.free_bytes(tmp_path) == 450
    assert control_groups.cores(tmp_path) == 1.5


def test_limits_above_count_and_the_tightest_decides(tmp_path: Path) -> None:
    top = machine(tmp_path, V2)
    write(top / "system.slice" / "chat.service", memory__max="max", memory__current=100,
          cpu__max="max 100000")  # fmt: skip
    write(top / "system.slice", memory__max=2000, memory__high=900, memory__current=300,
          cpu__max="50000 100000")  # fmt: skip
    assert control_groups.free_bytes(tmp_path) == 600
    assert control_groups.cores(tmp_path) == 0.5


def test_in_a_container_the_top_of_the_tree_is_the_group(tmp_path: Path) -> None:
    for path in ("/docker/0123", "/../../other"):
        top = machine(tmp_path, f"0::{path}\n")
        write(top, memory__max=500, memory__current=100, cpu__max="200000 100000")
        assert control_groups.free_bytes(tmp_path) == 400
        assert control_groups.cores(tmp_path) == 2


def test_version_1(tmp_path: Path) -> None:
    top = machine(tmp_path, V1)
    write(top / "memory" / "box", memory__limit_in_bytes=1000, memory__usage_in_bytes=900,
          memory__stat="total_inactive_file 60\ninactive_file 1\ntotal_active_file 40")  # fmt: skip
    write(top / "memory" / "box" / "chat", memory__limit_in_bytes=2**63 - 4096,
          memory__usage_in_bytes=5)  # fmt: skip
    write(top / "cpu,cpuacct" / "box" / "chat", cpu__cfs_quota_us=100000, cpu__cfs_period_us=100000)
    write(top / "cpu,cpuacct" / "box", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100000)
    assert control_groups.free_bytes(tmp_path) == 200
    assert control_groups.cores(tmp_path) == 1


@pytest.mark.parametrize("lines", ["", V2, V1])
def test_without_limits_there_are_none(tmp_path: Path, lines: str) -> None:
    machine(tmp_path, lines)
    assert control_groups.free_bytes(tmp_path) is None
    assert control_groups.cores(tmp_path) is None
