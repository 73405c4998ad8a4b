"""The SDK's rooms: who may import whom, and what a module's environment needs."""

from __future__ import annotations

import sys
from functools import cache
from graphlib import TopologicalSorter

import grimp

ROOMS = ("sdk.testing", "sdk.author", "sdk.process", "sdk.field", "sdk.work", "sdk.host")
"""Each may import those after it. `sdk` itself only names what authors import."""


@cache
def imports(package: str) -> grimp.ImportGraph:
    """All of them: those inside functions and for type checkers too."""
    return grimp.build_graph(package, include_external_packages=True, cache_dir=None)


def files(package: str) -> set[str]:
    found = {file for file in imports(package).modules if file.split(".")[0] == package}
    assert found
    return found


def test_no_file_imports_itself_on_a_way_around() -> None:
    graph = imports("sdk")
    between = {file: graph.find_modules_directly_imported_by(file) for file in files("sdk")}
    TopologicalSorter(between).prepare()  # CycleError names the files of a circle


def test_no_room_imports_upwards() -> None:
    graph = imports("sdk")
    assert not graph.find_illegal_dependencies_for_layers(layers=ROOMS)
    assert not graph.find_modules_that_directly_import("sdk")
    rooms = {".".join(file.split(".")[:2]) for file in files("sdk")}
    assert rooms == {"sdk", *ROOMS}, "a room without a place in the order"


def test_it_needs_aiohttp_alone() -> None:
    others = imports("sdk").modules - files("sdk")
    assert {other.split(".")[0] for other in others} - sys.stdlib_module_names == {"aiohttp"}


def test_the_host_knows_nothing_of_it() -> None:
    assert "host.commands" in files("host")
    assert "sdk" not in imports("host").modules
