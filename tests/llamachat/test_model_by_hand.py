"""A GGUF that somebody brought: `llamachat models PATH`, as a process without a network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from llama_engine.load_errors import LoadReason, ModelLoadError
from model_files import by_hand
from model_files.catalogue import read_selection
from model_files.choice import choose_model
from model_files.source import locate
from test_model_download import environment, run


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "models"


def test_a_file_is_chosen_where_it_lies(
    module_path: Path, directory: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model_dir)
    env = environment(None, directory)
    status, output = run(module_path, env, "tiny.gguf")
    assert status == 0, output
    assert f"{model_dir / 'tiny.gguf'} is chosen" in output
    assert locate(choose_model(env, module_path)) == model_dir / "tiny.gguf"
    assert f"* {model_dir / 'tiny.gguf'}" in run(module_path, env, "--list")[1]


def test_all_files_of_a_model_are_copied(
    module_path: Path, directory: Path, shards: list[Path]
) -> None:
    env = environment(None, directory)
    status, output = run(module_path, env, str(shards[1]), "--copy")
    assert status == 0, output
    names = [path.name for path in shards]
    assert sorted(path.name for path in directory.glob("*.gguf*")) == names
    assert locate(choose_model(env, module_path)) == directory / names[0]
    assert run(module_path, env, str(directory / names[0]), "--copy")[0] == 0


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.gguf", "cannot be read: No such file"),
        ("text.gguf", "is not a GGUF"),
        ("head.gguf", "cut short"),
    ],
)
def test_what_cannot_chat_is_not_chosen(
    module_path: Path, directory: Path, model_dir: Path, name: str, said: str
) -> None:
    status, output = run(module_path, environment(None, directory), str(model_dir / name))
    assert status == 1
    assert said in output
    assert "Nothing was changed" in output
    assert read_selection(directory) is None


def test_a_full_disk_is_seen_before_the_copy(
    model_dir: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = by_hand.check(model_dir / "tiny.gguf")
    usage = shutil.disk_usage(model_dir)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ModelLoadError, match="Leave out --copy") as caught:
        by_hand.choose_path(header, directory, is_copied=True)
    assert caught.value.reason is LoadReason.DISK_FULL
    assert read_selection(directory) is None


@pytest.mark.parametrize(
    ("name", "is_path"),
    [("qwen3-4b", False), ("qwen3.5-4b", False), ("my.gguf", True), ("./models/my", True)],
)
def test_names_and_paths(name: str, is_path: bool) -> None:
    assert by_hand.is_path(name) == is_path
