"""The model that comes with the project answers out of the box."""

from __future__ import annotations

from pathlib import Path

from llama_chat import LlamaChat
from llama_engine.gguf.header import read_header
from model_files.choice import choose_model

LARGEST_BYTES = 16_000_000


def test_it_is_what_is_chosen_where_nothing_is_set(module_path: Path, root_path: Path) -> None:
    source = choose_model({}, module_path)
    path = source.directory / source.filename
    assert path == root_path / "models" / "guide.gguf"
    assert path.stat().st_size <= LARGEST_BYTES
    assert read_header(path).architecture in ("llama", "qwen2", "qwen3")


def test_it_answers_and_ends_by_itself(module_path: Path) -> None:
    source = choose_model({}, module_path)
    chat = LlamaChat("", "", source.filename, source.directory, verbose=False, n_threads=1)
    completion = chat.do_chat("What can you do?", temperature=0.0)
    choice = completion["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert "LlamaChat" in choice["message"]["content"]
    chat.close()
