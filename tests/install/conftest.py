"""Paths, and the installer's own files to import."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "modules" / "LlamaChat"
sys.path[:0] = [str(MODULE), str(ROOT)]


@pytest.fixture(scope="session")
def project() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def chat_module() -> Path:
    return MODULE
