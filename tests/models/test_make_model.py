"""Random-weight models: every shape loads, and every reply runs to its `max_tokens`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from llama_cpp import Llama

from bench import make_model as maker
from bench.make_model import filler_text, make_model

TINY: dict[str, Any] = {
    "layers": 2,
    "width": 64,
    "ffn": 128,
    "heads": 4,
    "kv_heads": 2,
    "vocab_tokens": 1_000,
    "context_tokens": 2_048,
}


def load(path: Path) -> Llama:
    return Llama(str(path), n_ctx=512, n_threads=1, verbose=False)


def reply(model: Llama, prompt: str, max_tokens: int, temperature: float) -> tuple[str, str]:
    answer: Any = model.create_chat_completion(
        [{"role": "user", "content": prompt}], max_tokens=max_tokens, temperature=temperature
    )
    choice = answer["choices"][0]
    return choice["message"]["content"], choice["finish_reason"]


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
@pytest.mark.parametrize("quantisation", ["F32", "F16", "Q8_0", "Q4_0"])
def test_each_kind_loads_and_runs_to_max_tokens(
    tmp_path: Path, architecture: str, quantisation: str
) -> None:
    path = make_model(
        tmp_path / "m.gguf", **TINY, architecture=architecture, quantisation=quantisation
    )
    model = load(path)
    for temperature in (0.0, 1.0):
        text, reason = reply(model, "hello", 40, temperature)
        assert reason == "length"
        assert text.isascii() and text.isprintable()
        assert len(text) >= 40


def test_the_very_hot_sampler_meets_no_end_and_no_raw_byte(tmp_path: Path) -> None:
    model = load(make_model(tmp_path / "m.gguf", **TINY))
    text, reason = reply(model, "hello", 300, 5.0)
    assert reason == "length"
    assert text.isascii() and text.isprintable()


def test_what_is_asked_for_is_in_the_file(tmp_path: Path) -> None:
    model = load(make_model(tmp_path / "m.gguf", **TINY, architecture="llama"))
    metadata = model.metadata
    assert metadata["llama.context_length"] == "2048"
    assert metadata["llama.block_count"] == "2"
    assert metadata["llama.attention.head_count_kv"] == "2"
    assert "<|im_start|>" in metadata["tokenizer.chat_template"]
    assert model.n_vocab() == 1_000
    assert model.n_embd() == 64


def test_filler_text_has_about_the_tokens_it_promises(tmp_path: Path) -> None:
    model = load(make_model(tmp_path / "m.gguf", **TINY))
    assert abs(len(model.tokenize(filler_text(200).encode())) - 200) <= 2


def test_the_seed_decides_the_file(tmp_path: Path) -> None:
    first = make_model(tmp_path / "a.gguf", **TINY, seed=1).read_bytes()
    assert make_model(tmp_path / "b.gguf", **TINY, seed=1).read_bytes() == first
    assert make_model(tmp_path / "c.gguf", **TINY, seed=2).read_bytes() != first


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"width": 60, "heads": 4, "quantisation": "Q4_0"}, "multiple"),
        ({"heads": 4, "kv_heads": 3}, "kv_heads"),
        ({"quantisation": "Q9_9"}, "quantisation"),
        ({"architecture": "mamba"}, "architecture"),
        ({"vocab_tokens": 200}, "vocab_tokens"),
        ({"layers": 0}, "positive"),
    ],
)
def test_an_impossible_shape_is_refused(
    tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    path = tmp_path / "m.gguf"
    with pytest.raises(ValueError, match=expected):
        make_model(path, **{**TINY, **change})
    assert not path.exists()


def test_the_command_line_starts_from_a_preset(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    command = [sys.executable, maker.__file__, str(path), "--preset", "tiny", "--layers", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "MB" in done.stdout
    assert load(path).metadata["qwen2.block_count"] == "3"
