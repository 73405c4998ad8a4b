"""The package: what is in it, that it is the same each time, and that it runs elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from host.cli.packaging import PackageError, package_module


@pytest.fixture
def module(tmp_path: Path, project: Path, chat_module: Path) -> Path:
    """The real module in a project whose built-in model is a small one, with some rubbish."""
    from bench.make_model import PRESETS, write_model

    folder = tmp_path / "project" / "modules" / "LlamaChat"
    shutil.copytree(chat_module, folder, ignore=shutil.ignore_patterns("models", ".venv"))
    shutil.copy(project / "LICENSE", tmp_path / "project")
    (tmp_path / "project" / "models").mkdir()
    write_model(tmp_path / "project" / "models" / "guide.gguf", PRESETS["tiny"])
    for rubbish in ("models/big.gguf", "__pycache__/x.pyc", ".venv/a.py", "old.log", "sdk/old.py"):
        (folder / rubbish).parent.mkdir(exist_ok=True)
        (folder / rubbish).write_text("rubbish")
    return folder


def names_in(package: Path) -> list[str]:
    with zipfile.ZipFile(package) as content:
        return content.namelist()


def test_what_is_in_it(module: Path, tmp_path: Path) -> None:
    package = package_module(module, tmp_path / "out")
    assert package == tmp_path / "out" / "LlamaChat-2.0.0.zip"
    names = names_in(package)
    for name in (
        "modulesettings.json",
        "llama_chat_adapter.py",
        "llama_chat.py",
        "explore.html",
        "requirements.txt",
        "requirements.linux.cuda12.txt",
        "install.sh",
        "install.bat",
        "sdk/__init__.py",
        "sdk/author/module_runner.py",
        "models/guide.gguf",
        "LICENSE",
        "README.md",
    ):
        assert name in names
    rubbish = ("pyc", ".venv", "big.gguf", ".log", "sdk/old.py")
    assert not [name for name in names if any(part in name for part in rubbish)]
    assert names == sorted(names)


def test_the_same_files_give_the_same_bytes(module: Path, tmp_path: Path) -> None:
    first = package_module(module, tmp_path / "one").read_bytes()
    for path in module.rglob("*.py"):
        os.utime(path, (1, 1))
    assert package_module(module, tmp_path / "two").read_bytes() == first


def test_it_runs_elsewhere(module: Path, tmp_path: Path) -> None:
    """Unpacked, with the SDK beside it and nothing of the project on the way."""
    elsewhere = tmp_path / "elsewhere" / "LlamaChat"
    with zipfile.ZipFile(package_module(module, tmp_path / "out")) as package:
        package.extractall(elsewhere)
    environment = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith("CPAI_") and name != "PYTHONPATH"
    }
    adapter = [sys.executable, "llama_chat_adapter.py", "--selftest"]
    result = subprocess.run(
        adapter,
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    where = [sys.executable, "-c", "import sys; sys.path.insert(0, '.'); import sdk; print(sdk)"]
    found = subprocess.run(where, cwd=elsewhere, capture_output=True, text=True, check=True)
    assert str(elsewhere) in found.stdout


def write_settings(folder: Path, include: object) -> Path:
    folder.mkdir(parents=True)
    settings = {"Version": "2.0", "PackageOptions": {"Include": include}}
    (folder / "modulesettings.json").write_text(json.dumps({"Modules": {"Mine": settings}}))
    return folder


def test_a_module_without_extras(tmp_path: Path) -> None:
    module = write_settings(tmp_path / "Mine", [])
    (tmp_path / "sdk").mkdir()
    (tmp_path / "sdk" / "a.py").write_text("")
    package = package_module(module, tmp_path, tmp_path / "sdk")
    assert package.name == "Mine-2.0.zip"
    assert names_in(package) == ["modulesettings.json", "sdk/a.py"]


@pytest.mark.parametrize("place", ["../up.txt", "/root.txt", ""])
def test_nothing_lands_outside_the_package(tmp_path: Path, place: str) -> None:
    (tmp_path / "extra.txt").write_text("extra")
    module = write_settings(tmp_path / "Mine", [{"From": "../extra.txt", "To": place}])
    with pytest.raises(PackageError, match="inside the package"):
        package_module(module, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    module = write_settings(tmp_path / "Mine", [{"From": "../gone.gguf", "To": "gone.gguf"}])
    with pytest.raises(PackageError, match=r"gone\.gguf"):
        package_module(module, tmp_path / "out")


def test_a_folder_that_is_no_module(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"expected modulesettings\.json"):
        package_module(tmp_path, tmp_path / "out")
    (tmp_path / "modulesettings.json").write_text("{}")
    with pytest.raises(PackageError, match="with one module"):
        package_module(tmp_path, tmp_path / "out")
