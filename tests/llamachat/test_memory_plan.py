from __future__ import annotations

from pathlib import Path

import memory_plan
import pytest
from gguf_header import GgufHeader, Value, read_header
from load_errors import LoadReason, ModelLoadError

GIB = 1024**3


def header(file_gib: float, **more: Value) -> GgufHeader:
    """Mistral 7B's shape: 128 KiB of KV cache for each token."""
    metadata: dict[str, Value] = {
        "general.architecture": "llama",
        "llama.context_length": 32768,
        "llama.block_count": 32,
        "llama.embedding_length": 4096,
        "llama.attention.head_count": 32,
        "llama.attention.head_count_kv": 8,
    }
    return GgufHeader(Path("m.gguf"), int(file_gib * GIB), metadata | more)


def test_kv_size_is_layers_times_heads_times_sizes() -> None:
    assert memory_plan.kv_bytes_per_token(header(4)) == 32 * 8 * (128 + 128) * 2


def test_kv_size_with_heads_per_layer() -> None:
    heads: dict[str, Value] = {"llama.attention.head_count_kv": [8, 0] * 16}
    assert memory_plan.kv_bytes_per_token(header(4, **heads)) == 16 * 8 * 256 * 2


def test_kv_size_with_its_own_head_sizes() -> None:
    sizes: dict[str, Value] = {"llama.attention.key_length": 64, "llama.attention.value_length": 32}
    assert memory_plan.kv_bytes_per_token(header(4, **sizes)) == 32 * 8 * 96 * 2


def test_enough_memory_gives_the_models_own_context() -> None:
    assert memory_plan.plan_context(header(4), 0, 32 * GIB) == 32768


def test_little_memory_shortens_the_context() -> None:
    tokens = memory_plan.plan_context(header(4), 0, 6 * GIB)
    assert 4096 < tokens < 8192
    assert tokens % 256 == 0


def test_a_wanted_context_is_never_shortened() -> None:
    assert memory_plan.plan_context(header(4), 1000, 6 * GIB) == 1000
    with pytest.raises(ModelLoadError) as caught:
        memory_plan.plan_context(header(4), 32768, 6 * GIB)
    assert caught.value.reason is LoadReason.OUT_OF_MEMORY
    for number in ("4.0 GiB", "32768 tokens", "6.0 GiB are free"):
        assert number in str(caught.value)


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelLoadError, match=r"16\.0 GiB.*8\.0 GiB are free"):
        memory_plan.plan_context(header(16), 0, 8 * GIB)


def test_a_real_file(model_dir: Path) -> None:
    tiny = read_header(model_dir / "tiny.gguf")
    assert memory_plan.kv_bytes_per_token(tiny) == 2 * 2 * (16 + 16) * 2
    assert memory_plan.plan_context(tiny, 0, memory_plan.available_memory_bytes()) == 2048


def test_a_container_s_limit_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\nfile 150\nfile_mapped 20\n")
    assert memory_plan._cgroup_free_bytes(tmp_path) == 450
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_plan._cgroup_free_bytes(tmp_path) is None


def test_there_is_at_least_one_core() -> None:
    assert memory_plan.physical_cores() >= 1
