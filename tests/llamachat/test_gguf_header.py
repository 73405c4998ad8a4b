from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_engine.gguf.header import read_header
from llama_engine.load_errors import LoadReason, ModelLoadError


def test_says_what_the_model_is(model_dir: Path) -> None:
    header = read_header(model_dir / "tiny.gguf")
    assert header.architecture == "qwen2"
    assert header.quantisation == "F16"
    assert header.context_tokens == 2048
    assert header.number("block_count") == 2
    assert header.file_bytes == (model_dir / "tiny.gguf").stat().st_size


def test_the_vocabulary_is_not_kept(model_dir: Path) -> None:
    assert "tokenizer.ggml.tokens" not in read_header(model_dir / "tiny.gguf").metadata


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("half", LoadReason.TRUNCATED),
        ("head", LoadReason.TRUNCATED),
        ("text", LoadReason.NOT_GGUF),
        ("empty", LoadReason.NOT_GGUF),
    ],
)
def test_tells_broken_files_apart(model_dir: Path, name: str, reason: LoadReason) -> None:
    with pytest.raises(ModelLoadError) as caught:
        read_header(model_dir / f"{name}.gguf")
    assert caught.value.reason is reason
    assert f"{name}.gguf" in str(caught.value)


def test_a_count_of_2_to_the_60_is_truncated_not_a_hang(tmp_path: Path) -> None:
    path = tmp_path / "lies.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60))
    with pytest.raises(ModelLoadError) as caught:
        read_header(path)
    assert caught.value.reason is LoadReason.TRUNCATED


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_damaged_bytes_are_an_error_or_a_header(
    tmp_path: Path, tiny_bytes: bytes, data: st.DataObject
) -> None:
    """Whatever a few wrong bytes in the head do, nothing but ModelLoadError comes out."""
    damaged = bytearray(tiny_bytes)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(4, 900))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.gguf"
    path.write_bytes(damaged)
    try:
        header = read_header(path)
    except ModelLoadError:
        return
    assert header.file_bytes == len(damaged)
