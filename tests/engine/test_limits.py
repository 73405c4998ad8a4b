"""The context that is opened: chosen, told, and refused before it is allocated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine_helpers import MakeEngine
from llama_engine.errors import ParameterError
from llama_engine.load_errors import LoadReason, ModelLoadError
from llama_engine.loading.engine_loading import load_engine
from llama_engine.machine import machine_limits
from llama_engine.options import EngineOptions
from llama_engine.plan.context_plan import COMPUTE_BYTES, Room, plan_context

CELL = 10_000.0
GIB = 1024.0**3


def plan(free: float | None, train: int = 4_096, **options: Any) -> Any:
    rooms = [] if free is None else [Room("memory", free, CELL)]
    return plan_context(EngineOptions(**options), 4, train, rooms)


def test_each_sequence_has_the_models_own_length_where_it_fits() -> None:
    chosen = plan(2 * GIB)
    assert (chosen.sequence_tokens, chosen.total_tokens) == (4_096, 16_384)
    assert not chosen.is_shared
    assert "the whole length for each" in chosen.reason


def test_what_is_free_is_shared_where_it_does_not() -> None:
    chosen = plan(COMPUTE_BYTES + 8_000 * CELL / 0.6)
    assert chosen.is_shared
    assert chosen.total_tokens == chosen.total_tokens // 256 * 256 <= 8_000
    assert chosen.sequence_tokens == 4_096
    assert "what fits in" in chosen.reason


def test_asking_for_more_than_fits_is_refused_with_both_numbers() -> None:
    with pytest.raises(
        ModelLoadError, match=r"4000 tokens takes 0\.04 GiB.*0\.2. GiB of memory are"
    ) as caught:
        plan(COMPUTE_BYTES + 3_000 * CELL, context_tokens=4_000)
    assert caught.value.reason is LoadReason.OUT_OF_MEMORY
    with pytest.raises(ModelLoadError):
        plan(COMPUTE_BYTES + 100 * CELL)


def test_streams_in_equal_parts() -> None:
    chosen = plan(2 * GIB, total_tokens=5_000, layout="streams")
    assert (chosen.sequence_tokens, chosen.total_tokens) == (1_024, 4_096)


def test_a_memory_that_cannot_be_shared_is_planned_in_parts() -> None:
    room = Room("memory", COMPUTE_BYTES + 8_000 * CELL / 0.5, CELL)
    chosen = plan_context(EngineOptions(), 4, 4_096, [room], can_share=False)
    assert not chosen.is_shared
    assert (chosen.sequence_tokens, chosen.total_tokens) == (1_792, 7_168)
    with pytest.raises(ModelLoadError, match="1024 tokens"):
        tight = Room("memory", COMPUTE_BYTES + 900 * CELL / 0.5, CELL)
        plan_context(EngineOptions(), 4, 4_096, [tight], can_share=False)


def test_the_tightest_place_decides() -> None:
    rooms = [
        Room("memory", 2 * GIB, CELL / 2),
        Room("CUDA0", COMPUTE_BYTES + 6_000 * CELL / 2, CELL / 2, share=1.0),
    ]
    chosen = plan_context(EngineOptions(), 4, 4_096, rooms)
    assert chosen.total_tokens == 5_888
    assert "free CUDA0" in chosen.reason


def test_what_could_not_be_allocated_is_not_planned_again() -> None:
    chosen = plan_context(EngineOptions(), 4, 4_096, [], most_tokens=4_000)
    assert chosen.total_tokens == 4_000
    assert "what could be allocated" in chosen.reason


def test_without_a_number_of_free_bytes_nothing_is_refused() -> None:
    assert plan(None, context_tokens=102_400).total_tokens == 409_600


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sequences", 65), ("context_tokens", -1), ("batch_tokens", 1), ("threads", -1),
        ("layout", "other"), ("split_mode", "no"), ("flash_attention", "yes"),
        ("key_cache_type", "q3"), ("gap_stretch", 0.5), ("comfortable_gap_ms", 1e6),
        ("gpu_layers", -2), ("tensor_split", (-1.0,)),
    ],
)  # fmt: skip
def test_options_out_of_range(name: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=name):
        EngineOptions(**{name: value}).check()


def test_a_packed_value_cache_needs_flash_attention() -> None:
    with pytest.raises(ParameterError, match="value_cache_type"):
        EngineOptions(value_cache_type="q8_0", flash_attention="off").check()


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "q8_0"])
def test_cache_types_open(make_engine: MakeEngine, kind: str) -> None:
    engine = make_engine(key_cache_type=kind, value_cache_type=kind)
    assert engine.context_tokens == 512


def test_a_model_cut_in_half(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.gguf"
    path.write_bytes(tiny_model.read_bytes()[: tiny_model.stat().st_size // 2])
    with pytest.raises(ModelLoadError) as caught:
        load_engine(path, EngineOptions())
    assert caught.value.reason is LoadReason.TRUNCATED


def test_a_model_too_large_for_the_memory(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_limits, "available_memory_bytes", lambda: 100_000)
    with pytest.raises(ModelLoadError) as caught:
        load_engine(tiny_model, EngineOptions())
    assert caught.value.reason is LoadReason.OUT_OF_MEMORY


def test_an_unknown_architecture(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "unknown.gguf"
    path.write_bytes(tiny_model.read_bytes().replace(b"qwen2", b"qwex2"))
    with pytest.raises(ModelLoadError, match="qwex2") as caught:
        load_engine(path, EngineOptions())
    assert caught.value.reason is LoadReason.UNSUPPORTED


def test_loading_reports_progress_and_can_be_given_up(tiny_model: Path) -> None:
    seen: list[float] = []

    def progress(share: float) -> bool:
        seen.append(share)
        return True

    loaded = load_engine(tiny_model, EngineOptions(sequences=1, context_tokens=256), progress)
    loaded.engine.start()
    assert loaded.engine.stop()
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    with pytest.raises(ModelLoadError):
        load_engine(tiny_model, EngineOptions(), lambda share: False)


def test_facts_tell_what_is_used(tiny_model: Path) -> None:
    loaded = load_engine(tiny_model, EngineOptions(sequences=2, context_tokens=256, threads=1))
    loaded.engine.start()
    assert loaded.engine.stop()
    facts = loaded.facts
    assert (facts.device, facts.threads, facts.plan.sequences) == ("CPU", 1, 2)
    assert "512 tokens" in facts.plan.reason
    assert facts.layers == {"CPU": 3}


def test_an_engine_that_was_never_started_frees_what_it_has(tiny_model: Path) -> None:
    loaded = load_engine(tiny_model, EngineOptions(sequences=1, context_tokens=256))
    assert loaded.engine.stop()
    assert loaded.engine.model.handle is None
