"""Where the host's own files lie: `host`, `sdk`, the modules and the built-in model beside it."""

from __future__ import annotations

from pathlib import Path

HOME = Path(__file__).resolve().parent.parent.parent
"""The root of a checkout, or the import package `llamachat` of an installation."""


def is_package(home: Path = HOME) -> bool:
    """Whether pip or uv put it there: only read then, and removed with the next version."""
    return (home / "__main__.py").is_file()  # in a checkout it lies in the folder beside
