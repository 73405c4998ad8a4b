"""What is done once for all engines of a process."""

from __future__ import annotations

import llama_cpp
import pytest
from engine_helpers import MakeEngine
from llama_engine.llama import backend


def test_llama_cpp_is_initialised_once(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[None] = []
    monkeypatch.setattr(llama_cpp, "llama_backend_init", lambda: calls.append(None))
    backend.start_backend.cache_clear()
    make_engine()
    make_engine()
    assert len(calls) == 1
