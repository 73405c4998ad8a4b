"""LoRA adapters change what the model says, and one that does not load is told."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from engine_helpers import MakeEngine, ask, collect, prompt
from llama_engine.load_errors import ModelLoadError

WIDTH, RANK = 64, 4


def write_lora(path: Path, seed: int = 3) -> Path:
    """An adapter for the queries of the first layer of the tiny model."""
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(RANK))
    for name, shape in (("lora_a", (RANK, WIDTH)), ("lora_b", (WIDTH, RANK))):
        values = random.standard_normal(shape, dtype=np.float32)
        writer.add_tensor(f"blk.0.attn_output.weight.{name}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_an_adapter_changes_the_reply(make_engine: MakeEngine, tmp_path: Path) -> None:
    lora = write_lora(tmp_path / "lora.gguf")
    plain = make_engine()
    tokens = prompt(plain, 30)
    without = collect(ask(plain, tokens, 20)).text
    assert collect(ask(make_engine(loras=((lora, 2.0),)), tokens, 20)).text != without
    assert collect(ask(make_engine(loras=((lora, 0.0),)), tokens, 20)).text == without


def test_an_adapter_that_does_not_load(make_engine: MakeEngine, tmp_path: Path) -> None:
    (tmp_path / "none.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelLoadError, match=r"LoRA adapter .*none\.gguf"):
        make_engine(loras=((tmp_path / "none.gguf", 1.0),))


def test_what_is_in_an_adapter_belongs_to_the_disk_caches_key(
    make_engine: MakeEngine, tmp_path: Path
) -> None:
    lora = write_lora(tmp_path / "lora.gguf")
    options = {
        "context_tokens": 1_024,
        "disk_cache_directory": tmp_path / "kept",
        "loras": ((lora, 2.0),),
    }
    engine = make_engine(**options)
    tokens = prompt(engine, 600)
    collect(ask(engine, tokens, 4))
    assert engine.stop()
    same = make_engine(**options)
    assert collect(ask(same, tokens, 4)).finished.cached_tokens > 500
    assert same.stop()
    write_lora(lora, seed=4)
    assert collect(ask(make_engine(**options), tokens, 4)).finished.cached_tokens == 0
