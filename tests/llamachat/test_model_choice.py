"""Settings win over a choice by name, and that over the built-in model; nothing is replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from llama_engine.gguf.shards import first_shard
from llama_engine.load_errors import LoadReason, ModelLoadError
from model_files.catalogue import (
    SELECTION_FILE,
    find_entry,
    read_catalogue,
    read_selection,
    write_path_selection,
    write_selection,
)
from model_files.choice import choose_model, model_directory
from model_files.source import ModelSource

FILENAME = "CPAI_MODULE_LLAMA_MODEL_FILENAME"
REPO = "CPAI_MODULE_LLAMA_MODEL_REPO"
FILEGLOB = "CPAI_MODULE_LLAMA_MODEL_FILEGLOB"
DIRECTORY = "CPAI_MODULE_LLAMA_MODEL_DIR"


@pytest.fixture
def module(tmp_path: Path, module_path: Path) -> Path:
    """A module folder as in the project: the built-in model two levels up."""
    folder = tmp_path / "modules" / "LlamaChat"
    folder.mkdir(parents=True)
    shutil.copy(module_path / "model_catalogue.json", folder)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "guide.gguf").write_bytes(b"GGUF")
    return folder


def test_out_of_the_box_it_is_the_built_in_model(module: Path) -> None:
    expected = ModelSource(module.parent.parent / "models", "guide.gguf")
    for environment in ({}, {FILENAME: "", REPO: "", FILEGLOB: ""}, {FILENAME: "guide.gguf"}):
        assert choose_model(environment, module) == expected


def test_in_its_package_the_built_in_model_is_beside_the_module(module: Path) -> None:
    (module / "models").mkdir()
    (module / "models" / "guide.gguf").write_bytes(b"GGUF")
    assert choose_model({}, module) == ModelSource(module / "models", "guide.gguf")


def test_a_chosen_model_wins_over_the_built_in_one(module: Path) -> None:
    write_selection(module / "models", find_entry(module, "Phi-3-mini"))
    expected = ModelSource(module / "models", "Phi-3-mini-4k-instruct-q4.gguf")
    assert choose_model({}, module) == expected


def test_settings_win_over_a_choice(module: Path) -> None:
    write_selection(module / "models", find_entry(module, "phi-3-mini"))
    environment = {FILENAME: "mine.gguf", REPO: "@me/Mine-GGUF", FILEGLOB: "*.gguf"}
    expected = ModelSource(module / "models", "mine.gguf", "me/Mine-GGUF", "*.gguf")
    assert choose_model(environment, module) == expected


def test_choosing_the_guide_returns_to_it(module: Path) -> None:
    write_selection(module / "models", find_entry(module, "phi-3-mini"))
    write_selection(module / "models", find_entry(module, "guide"))
    assert read_selection(module / "models") is None
    assert choose_model({}, module).filename == "guide.gguf"


def test_a_file_that_was_brought_wins_over_the_built_in_model(module: Path, tmp_path: Path) -> None:
    write_path_selection(module / "models", tmp_path / "mine.gguf")
    assert choose_model({}, module) == ModelSource(tmp_path, "mine.gguf")
    write_selection(module / "models", find_entry(module, "phi-3-mini"))
    assert choose_model({}, module).filename == "Phi-3-mini-4k-instruct-q4.gguf"


@pytest.mark.parametrize("content", ["{", "[]", '{"other": 1}', ""])
def test_a_broken_choice_is_told_not_ignored(module: Path, content: str) -> None:
    (module / "models").mkdir()
    (module / "models" / SELECTION_FILE).write_text(content)
    with pytest.raises(ModelLoadError, match="Delete it to return to the built-in model"):
        choose_model({}, module)


def test_an_unknown_choice_is_told_not_ignored(module: Path) -> None:
    (module / "models").mkdir()
    (module / "models" / SELECTION_FILE).write_text('{"name": "gone"}')
    with pytest.raises(ModelLoadError, match=r"'gone'.*guide.*mistral-7b") as caught:
        choose_model({}, module)
    assert caught.value.reason is LoadReason.MISSING_FILE


def test_the_directory_is_seen_from_the_module_s_folder(module: Path, tmp_path: Path) -> None:
    assert model_directory({}, module) == module / "models"
    assert model_directory({DIRECTORY: "../shared"}, module) == module.parent / "shared"
    assert model_directory({DIRECTORY: str(tmp_path)}, module) == tmp_path


def test_the_catalogue_is_sound(module_path: Path) -> None:
    entries = read_catalogue(module_path)
    names = [entry.name for entry in entries]
    assert names[0] == "guide"
    assert {"mistral-7b", "phi-3-mini"} < set(names)
    assert len(set(names)) == len(names) >= 6
    for entry in entries:
        assert entry.file.endswith(".gguf")
        assert first_shard(entry.file) == entry.file
        assert entry.licence and entry.note and entry.size_bytes > 0
        assert entry.is_builtin or (entry.context_tokens >= 4096 and "/" in entry.repo)


def test_the_built_in_model_has_the_size_of_its_file(module_path: Path, root_path: Path) -> None:
    guide = find_entry(module_path, "guide")
    assert guide.size_bytes == (root_path / "models" / "guide.gguf").stat().st_size
    assert guide.size_is_exact
