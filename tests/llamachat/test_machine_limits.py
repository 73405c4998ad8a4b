"""What this machine has for a model."""

from __future__ import annotations

import pytest
from llama_engine.machine import control_groups, machine_limits


def test_a_container_s_memory_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_groups, "free_bytes", lambda: 1_000)
    assert machine_limits.available_memory_bytes() == 1_000
    assert machine_limits.memory_name() == "memory (a control group's limit)"
    monkeypatch.setattr(control_groups, "free_bytes", lambda: None)
    assert machine_limits.available_memory_bytes() > 1_000
    assert machine_limits.memory_name() == "memory"


@pytest.mark.parametrize("quota", [0.2, 1.0, 1.9])
def test_a_quota_of_less_than_two_cores_means_one_thread(
    monkeypatch: pytest.MonkeyPatch, quota: float
) -> None:
    monkeypatch.setattr(control_groups, "cores", lambda: quota)
    assert machine_limits.usable_cores() == 1


def test_there_is_at_least_one_core() -> None:
    assert machine_limits.usable_cores() >= 1
