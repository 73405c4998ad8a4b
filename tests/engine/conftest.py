"""Engines on small models, each with a thread of its own and few cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_helpers import MakeEngine
from llama_engine.loading.engine_loading import load_engine
from llama_engine.options import EngineOptions
from llama_engine.schedule.engine import Engine, OnDeath
from make_model import make_model

SMALL = EngineOptions(
    sequences=4, context_tokens=512, threads=1, batch_tokens=128, memory_cache_bytes=8 * 1024**2
)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random-weight model whose replies run to `max_tokens`."""
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    return make_model(
        path, layers=2, width=64, ffn=128, heads=2, kv_heads=1, vocab_tokens=1_000,
        context_tokens=8_192, quantisation="F16",
    )  # fmt: skip


@pytest.fixture(scope="session")
def guide_model() -> Path:
    """The built-in model."""
    path = Path(__file__).parents[2] / "models" / "guide.gguf"
    if not path.exists():
        pytest.skip("models/guide.gguf is not there yet")
    return path


@pytest.fixture
def make_engine(tiny_model: Path) -> Iterator[MakeEngine]:
    """Start an engine on the tiny model, or another; all are stopped at the end."""
    engines: list[Engine] = []

    def make(path: Path | None = None, on_death: OnDeath | None = None, **options: Any) -> Engine:
        own = replace(SMALL, **options)
        loaded = load_engine(path or tiny_model, own, on_death=on_death)
        loaded.engine.start()
        engines.append(loaded.engine)
        return loaded.engine

    yield make
    for engine in engines:
        assert engine.stop()


@pytest.fixture
def engine(make_engine: MakeEngine) -> Engine:
    return make_engine()
