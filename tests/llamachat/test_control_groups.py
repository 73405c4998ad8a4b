"""Limits of control groups, read from trees as Linux shows them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from llama_engine.machine import control_groups

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


IN_GROUPS = """
import json, pathlib, sys
for folder in sys.argv[1:]:
    (pathlib.Path(folder) / "cgroup.procs").write_text("0")
from llama_engine.machine import control_groups, machine_limits
print(json.dumps([control_groups.free_bytes(), control_groups.cores(),
                  machine_limits.available_memory_bytes(), machine_limits.usable_cores()]))
"""
GIB = 1024**3


@pytest.fixture
def real_groups() -> Iterator[list[Path]]:
    """Groups of 2 GiB and one core, of either version, where this machine lets us make them."""
    top, name = Path("/sys/fs/cgroup"), f"llamachat-test-{os.getpid()}"
    version_2 = {top / name: {"memory__max": 2 * GIB, "cpu__max": "100000 100000"}}
    version_1 = {
        top / "memory" / name: {"memory__limit_in_bytes": 2 * GIB},
        top / "cpu" / name: {"cpu__cfs_period_us": 100000, "cpu__cfs_quota_us": 100000},
    }
    wanted = version_1 if (top / "memory").is_dir() else version_2
    made: list[Path] = []
    try:
        for folder, limits in wanted.items():
            folder.mkdir()
            made.append(folder)
            write(folder, **limits)
        yield made
    except OSError as ex:
        pytest.skip(f"no control group can be made here: {ex}")
    finally:
        for folder in made:
            folder.rmdir()


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
def test_real_groups_of_two_gib_and_one_core(real_groups: list[Path], module_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", IN_GROUPS, *map(str, real_groups)],
        cwd=module_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    free, cores, available, threads = json.loads(result.stdout)
    assert GIB < free <= 2 * GIB
    assert available <= free + 64 * 1024**2
    assert (cores, threads) == (1.0, 1)
