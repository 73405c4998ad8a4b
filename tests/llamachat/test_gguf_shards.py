"""Models in several files: found by any of them, sized together, fetched whole, loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fake_hub import FakeHub
from llama_chat import LlamaChat
from llama_engine.gguf.header import read_header
from llama_engine.gguf.shards import first_shard, models_among, shard_names
from llama_engine.load_errors import LoadReason, ModelLoadError
from model_files.hub import Hub
from model_files.source import ModelSource, locate

REPO = "someone/Split-GGUF"


def test_names() -> None:
    names = ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"]
    assert shard_names(names[2]) == names
    assert first_shard("Q4/m-00002-of-00003.gguf") == "Q4/m-00001-of-00003.gguf"
    for whole in ("m.gguf", "m-1-of-3.gguf", "m-00001-of-00000.gguf", ""):
        assert shard_names(whole) == [whole]
    assert models_among([*names, "other.gguf"]) == [names[0], "other.gguf"]


def test_the_header_is_that_of_all_files(shards: list[Path], model_dir: Path) -> None:
    whole = read_header(model_dir / "tiny.gguf")
    assert len(shards) == 3
    for shard in shards:
        header = read_header(shard)
        assert header.path == shards[0]
        assert header.file_bytes == sum(path.stat().st_size for path in shards)
        assert header.number("block_count") == 2
        assert header.weights == whole.weights


def test_any_of_the_files_loads_the_model(shards: list[Path]) -> None:
    chat = LlamaChat("", "", shards[1].name, shards[1].parent, n_ctx=512, n_threads=1)
    chat.load()
    assert chat.model_path == shards[0]
    assert chat.do_chat("Hello", max_tokens=4)["usage"]["completion_tokens"] == 4
    chat.close()


def test_a_missing_file_is_named(shards: list[Path], tmp_path: Path) -> None:
    for shard in (shards[0], shards[2]):
        shutil.copy(shard, tmp_path)
    for find in (lambda: read_header(tmp_path / shards[0].name),
                 lambda: locate(ModelSource(tmp_path, shards[2].name))):  # fmt: skip
        with pytest.raises(ModelLoadError, match=f"expected '{shards[1].name}' in") as caught:
            find()
        assert caught.value.reason is LoadReason.MISSING_FILE
    with pytest.raises(ModelLoadError, match="Model file not found"):
        locate(ModelSource(tmp_path, "other-00001-of-00002.gguf"))


def test_a_damaged_file_is_named(shards: list[Path], tmp_path: Path) -> None:
    for shard in shards:
        shutil.copy(shard, tmp_path)
    (tmp_path / shards[1].name).write_bytes(shards[1].read_bytes()[:200])
    with pytest.raises(ModelLoadError, match=shards[1].name) as caught:
        read_header(tmp_path / shards[0].name)
    assert caught.value.reason is LoadReason.TRUNCATED


def test_a_renamed_part_says_how_it_must_be_called(shards: list[Path], tmp_path: Path) -> None:
    shutil.copy(shards[1], tmp_path / "mine.gguf")
    with pytest.raises(ModelLoadError, match=r"part 2 of 3.*'model-00002-of-00003\.gguf'"):
        read_header(tmp_path / "mine.gguf")


def test_all_files_come_from_the_hub(shards: list[Path], tmp_path: Path) -> None:
    with FakeHub(REPO, {path.name: path.read_bytes() for path in shards}) as fake:
        hub = Hub(fake.url)
        assert hub.find(REPO, "tiny*.gguf") == shards[0].name
        shutil.copy(shards[1], tmp_path)
        source = ModelSource(tmp_path, shards[2].name, REPO, "*-00002-of-*.gguf")
        path = locate(source, hub)
        assert path == tmp_path / "someone--Split-GGUF" / shards[0].name
        assert [item.read_bytes() for item in sorted(path.parent.iterdir())] == [
            item.read_bytes() for item in shards
        ]
        (path.parent / shards[1].name).unlink()
        fake.requests.clear()
        assert locate(source, hub) == path
        assert [name for method, name, _ in fake.requests if method == "GET"][1:] == [
            f"/{REPO}/resolve/main/{shards[1].name}"
        ]


def test_the_room_for_all_of_them_is_asked_before_the_first(
    shards: list[Path], tmp_path: Path
) -> None:
    files = {path.name: path.read_bytes() for path in shards}
    room = 256 * 1024**2 + sum(map(len, files.values())) - 1
    with FakeHub(REPO, files) as fake, pytest.raises(ModelLoadError) as caught:
        Hub(fake.url, free_bytes=lambda _: room).fetch(
            REPO, shards[0].name, tmp_path / shards[0].name
        )
    assert caught.value.reason is LoadReason.DISK_FULL
    assert not list(tmp_path.iterdir())
