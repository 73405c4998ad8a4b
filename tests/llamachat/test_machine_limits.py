"""What this machine has for a model."""

from __future__ import annotations

from pathlib import Path

import machine_limits


def test_a_container_s_limit_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\nfile 150\nfile_mapped 20\n")
    assert machine_limits._cgroup_free_bytes(tmp_path) == 450
    (tmp_path / "memory.max").write_text("max\n")
    assert machine_limits._cgroup_free_bytes(tmp_path) is None


def test_there_is_at_least_one_core() -> None:
    assert machine_limits.physical_cores() >= 1
