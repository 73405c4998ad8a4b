"""docs/security.md: every test that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`(tests/[a-z_/]+\.py)::(\w+)`")


def rows() -> list[str]:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    _, _, promises = text.partition("## What is promised")
    return [line for line in promises.splitlines() if line.startswith("| ")][2:]


def test_every_promise_names_tests_that_are_there() -> None:
    assert len(rows()) > 10
    for row in rows():
        named = NAMED.findall(row)
        assert named, f"no test: {row}"
        for file, name in named:
            assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{name}"
