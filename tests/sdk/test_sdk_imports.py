"""What a module's environment needs for the SDK; who may import whom is in tests/house."""

from __future__ import annotations

import sys

import grimp


def test_it_needs_aiohttp_alone() -> None:
    """Imports inside functions, and for type checkers, count too."""
    graph = grimp.build_graph("sdk", include_external_packages=True, cache_dir=None)
    others = {file.split(".")[0] for file in graph.modules} - {"sdk"}
    assert others - sys.stdlib_module_names == {"aiohttp"}
