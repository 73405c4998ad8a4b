"""Real models, small enough to load in a blink, and the module's files to import."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "modules" / "LlamaChat"


@pytest.fixture(scope="session")
def root_path() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def module_path() -> Path:
    return MODULE


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny.gguf` (random weights, a context of 2048 tokens), and files that cannot be loaded."""
    from bench.make_model import PRESETS, write_model

    directory = tmp_path_factory.mktemp("gguf")
    whole = write_model(directory / "tiny.gguf", PRESETS["tiny"]).read_bytes()
    (directory / "half.gguf").write_bytes(whole[: len(whole) // 2])
    (directory / "short.gguf").write_bytes(whole[:-64])
    (directory / "head.gguf").write_bytes(whole[:300])
    (directory / "text.gguf").write_text("A text that somebody renamed.\n" * 20)
    (directory / "empty.gguf").write_bytes(b"")
    (directory / "unknown.gguf").write_bytes(whole.replace(b"qwen2", b"qwenX"))
    return directory


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same model in several files, in order."""
    from bench.make_model import PRESETS, write_model

    directory = tmp_path_factory.mktemp("shards")
    write_model(directory / "tiny.gguf", PRESETS["tiny"], shard_tensors=10)
    return sorted(directory.glob("*.gguf"))


@pytest.fixture(scope="session")
def tiny_bytes(model_dir: Path) -> bytes:
    return (model_dir / "tiny.gguf").read_bytes()
