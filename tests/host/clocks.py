"""A system clock that somebody sets while a host runs."""

from __future__ import annotations

import time

import pytest


def jump(monkeypatch: pytest.MonkeyPatch, by_s: float = 3600.0) -> None:
    """The system's clock jumps; the steady one goes on as before."""
    real_s = time.time
    monkeypatch.setattr(time, "time", lambda: real_s() + by_s)
