"""What a module's environment needs for the SDK, and what a module imports of it; who may import
whom inside it is in tests/house."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]


def test_it_needs_aiohttp_alone() -> None:
    """Imports inside functions, and for type checkers, count too."""
    graph = grimp.build_graph("sdk", include_external_packages=True, cache_dir=None)
    others = {file.split(".")[0] for file in graph.modules} - {"sdk"}
    assert others - sys.stdlib_module_names == {"aiohttp"}


def imported_by(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_modules_know_its_face_alone() -> None:
    sources = list((ROOT / "host").rglob("module_template/adapter.py.txt"))
    assert sources
    for folder in ("examples", "modules"):
        for path in (ROOT / folder).rglob("*.py"):
            if not any(part.startswith(".") for part in path.relative_to(ROOT).parts):
                sources.append(path)
    names = {name for path in sources for name in imported_by(path.read_text(encoding="utf-8"))}
    assert {name for name in names if name.split(".")[0] == "sdk"} == {"sdk", "sdk.testing"}
