"""What may import what.

The rooms of packages have their contracts in pyproject.toml (`lint-imports` checks them too). What
a contract cannot say is here: the files of a module are scripts, which import each other by name.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
LLAMACHAT = ROOT / "modules" / "LlamaChat"
LINT = "from importlinter.cli import lint_imports_command as lint; lint()"
SCRIPTS_OF_LLAMA_CPP = {"build_proof"}
"""Beside the engine's room: a process of its own, which may die, looks whether llama.cpp works."""


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Each script and package of the module, and what it imports, by the name it is imported by."""
    monkeypatch.setattr(sys, "path", [str(LLAMACHAT.parent), *sys.path])
    graph = grimp.build_graph(LLAMACHAT.name, include_external_packages=True, cache_dir=None)
    found: dict[str, set[str]] = {}
    for file in graph.modules:
        package, _, rest = file.partition(".")
        if package == LLAMACHAT.name and rest:
            own = found.setdefault(rest.split(".")[0], set())
            own |= graph.find_modules_directly_imported_by(file)
    return {name: others - {name} for name, others in found.items()}


def lint(config: Path, *folders: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own: import-linter switches this one's loggers off."""
    command = [sys.executable, "-c", LINT, "--config", str(config), "--no-cache"]
    path = os.pathsep.join(map(str, folders))
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path}
    )


def test_the_contracts_are_kept() -> None:
    linted = lint(ROOT / "pyproject.toml", ROOT, LLAMACHAT)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_a_circle_of_two_files_is_found(tmp_path: Path) -> None:
    """Also of one that is there for types only."""
    room = tmp_path / "made_up" / "room"
    room.mkdir(parents=True)
    for folder in (room.parent, room):
        (folder / "__init__.py").touch()
    (room / "one.py").write_text("from made_up.room import other\n")
    (room / "other.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from made_up.room import one\n"
    )
    config = tmp_path / ".importlinter"
    config.write_text(
        "[importlinter]\nroot_package = made_up\n"
        "[importlinter:contract:1]\nname = No circle\ntype = acyclic_siblings\n"
        "ancestors = made_up\n"
    )
    linted = lint(config, tmp_path)
    assert linted.returncode == 1
    assert "No circle BROKEN" in linted.stdout


def test_no_circle_between_the_scripts_of_the_module(imports: dict[str, set[str]]) -> None:
    TopologicalSorter({name: others & imports.keys() for name, others in imports.items()}).prepare()


def test_the_engine_imports_nothing_of_the_module_above_it(imports: dict[str, set[str]]) -> None:
    assert not imports["llama_engine"] & (imports.keys() | {"sdk", "host"})


def test_llama_cpp_is_imported_by_the_engine_alone(imports: dict[str, set[str]]) -> None:
    """Within it by the room llama alone, as its contract says."""
    importers = {name for name, others in imports.items() if "llama_cpp" in others}
    assert importers == {"llama_engine", *SCRIPTS_OF_LLAMA_CPP}


def test_no_two_files_of_one_name() -> None:
    names = Counter(path.name for path in LLAMACHAT.rglob("*.py") if "models" not in path.parts)
    assert [name for name, count in names.items() if count > 1] == ["__init__.py"]
