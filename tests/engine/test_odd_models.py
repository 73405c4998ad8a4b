"""Uneven layers, hybrids, models that do not chat: loaded as planned, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_helpers import MakeEngine, ask, collect
from llama_engine import load_errors
from llama_engine.gguf.header import read_header
from llama_engine.llama import context_opening, weights
from llama_engine.load_errors import LoadReason, ModelLoadError
from llama_engine.loading.engine_loading import load_engine
from llama_engine.options import EngineOptions
from llama_engine.plan.cache_shape import shape_in_header, state_bytes
from llama_engine.plan.context_plan import LEAST_CONTEXT
from llama_engine.schedule.engine import Engine
from odd_models import (
    WIDTH,
    write_encoder_decoder,
    write_header,
    write_hybrid,
    write_recurrent,
    write_sliding,
    write_uneven,
)

ONE = EngineOptions(sequences=2, threads=1)


@pytest.mark.parametrize("write", [write_uneven, write_hybrid, write_recurrent])
@pytest.mark.parametrize("layout", ["auto", "shared"])
def test_what_is_planned_is_what_is_opened(
    tmp_path: Path, write: Callable[[Path], Path], layout: Any
) -> None:
    options = EngineOptions(sequences=2, threads=1, total_tokens=1_024, layout=layout)
    loaded = load_engine(write(tmp_path / "odd.gguf"), options)
    plan, context = loaded.facts.plan, loaded.engine._context
    assert (plan.is_shared, plan.total_tokens) == (context.is_shared, context.total_tokens)
    assert loaded.engine.context_tokens == plan.sequence_tokens
    assert plan.is_shared == (write is write_uneven)
    assert loaded.engine.stop()


@pytest.mark.parametrize("write", [write_uneven, write_hybrid])
def test_they_answer(
    make_engine: MakeEngine, tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    engine = make_engine(write(tmp_path / "odd.gguf"))
    assert collect(ask(engine, [5, 6, 7], max_tokens=3)).finished.completion_tokens == 3


def test_cells_are_counted_layer_by_layer(tmp_path: Path) -> None:
    half = WIDTH // 2
    for write, keys in ((write_uneven, (half, 0)), (write_hybrid, (0, half))):
        shape = shape_in_header(read_header(write(tmp_path / "odd.gguf")))
        assert shape is not None
        assert (shape.key_values, shape.value_values) == (keys, keys)
    assert shape_in_header(read_header(write_recurrent(tmp_path / "odd.gguf"))) is None


def test_llama_cpp_says_the_same_as_the_header(engine: Engine, tiny_model: Path) -> None:
    assert engine.model.cache_shape() == shape_in_header(read_header(tiny_model))


def test_where_every_fourth_layer_has_attention(tmp_path: Path) -> None:
    numbers = {"block_count": 8, "attention__head_count": 4, "attention__head_count_kv": 2,
               "attention__key_length": 16, "attention__value_length": 16, "embedding_length": 64,
               "full_attention_interval": 4, "ssm__inner_size": 64, "ssm__state_size": 8,
               "ssm__conv_kernel": 4, "ssm__group_count": 2}  # fmt: skip
    metadata = {f"next__{key}": value for key, value in numbers.items()}
    header = read_header(write_header(tmp_path / "next.gguf", "next", **metadata))
    shape = shape_in_header(header)
    assert shape is not None
    assert shape.key_values == (0, 0, 0, 32, 0, 0, 0, 32)
    assert state_bytes(header) == 4 * (64 * 8 + 3 * (64 + 2 * 2 * 8))


@pytest.mark.parametrize(
    ("architecture", "metadata", "said"),
    [
        ("bert", {}, "turns texts into numbers"),
        ("nomic-bert", {"nomic-bert__attention__causal": False}, "architecture 'nomic-bert'"),
        ("qwen3", {"qwen3__pooling_type": 3}, "turns texts into numbers"),
        ("qwen3", {"qwen3__pooling_type": 4}, "reranker"),
        ("llama", {"llama__attention__causal": False}, "turns texts into numbers"),
        ("clip", {}, "mmproj"),
        ("llama", {"general__type": "adapter"}, "CPAI_MODULE_LLAMA_LORAS"),
    ],
)
def test_what_does_not_chat_is_refused(
    tmp_path: Path, architecture: str, metadata: dict[str, Any], said: str
) -> None:
    path = write_header(tmp_path / "other.gguf", architecture, **metadata)
    with pytest.raises(ModelLoadError, match=said) as caught:
        load_engine(path, ONE)
    assert caught.value.reason is LoadReason.NOT_CHAT
    assert "instruct or chat model" in str(caught.value)


def test_what_only_llama_cpp_knows_not_to_chat(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="from an encoder to a decoder") as caught:
        load_engine(write_encoder_decoder(tmp_path / "t5.gguf"), ONE)
    assert caught.value.reason is LoadReason.NOT_CHAT


@pytest.fixture
def sliding(tmp_path: Path) -> Path:
    return write_sliding(tmp_path / "sliding.gguf")


def test_a_length_without_memory_is_not_tried_again(
    sliding: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []

    def no_memory(_model: object, plan: Any, *_: object) -> None:
        tried.append(plan.total_tokens)
        raise load_errors.out_of_memory(sliding, "made up")

    monkeypatch.setattr(context_opening, "_open_context", no_memory)
    with pytest.raises(ModelLoadError, match="made up"):
        load_engine(sliding, ONE)
    assert tried == [8_192, 4_096, 2_048, 1_024, LEAST_CONTEXT]
    tried.clear()
    with pytest.raises(ModelLoadError, match="made up"):
        load_engine(sliding, EngineOptions(sequences=2, threads=1, context_tokens=2_048))
    assert tried == [4_096]


def test_a_number_of_layers_without_memory_is_not_tried_again(
    sliding: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The card says that all is well, and then it is not."""
    tried: list[int] = []
    load = weights._load

    def crowded(source: Any, gpu_layers: int) -> Any:
        tried.append(gpu_layers)
        if gpu_layers:
            raise load_errors.out_of_memory(sliding, "made up")
        return load(source, gpu_layers)

    monkeypatch.setattr("llama_engine.loading.engine_loading.has_gpu", lambda is_wanted: is_wanted)
    monkeypatch.setattr(weights, "_load", crowded)
    loaded = load_engine(sliding, ONE)
    assert loaded.engine.stop()
    assert tried == [3, 2, 1, 0]
    assert loaded.facts.layers == {"CPU": 3, "GPU": 0}
    tried.clear()
    with pytest.raises(ModelLoadError, match="made up"):
        load_engine(sliding, EngineOptions(sequences=2, threads=1, gpu_layers=2))
    assert tried == [2]
