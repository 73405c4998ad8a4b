"""The code blocks of a documentation page: fenced ones, and those that are indented by four."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[2] / "docs"

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$|((?:^ {4}\S[^\n]*\n)+)", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """`kind` is what stands behind the fence, or empty."""

    kind: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The command lines in it, without their prompt."""
        return [line.removeprefix("$ ") for line in self.text.splitlines() if is_command(line)]

    @property
    def value(self) -> Any:
        """The JSON in it; a page shortens with an ellipsis what everybody can imagine."""
        lines = [line for line in self.text.splitlines() if not is_command(line)]
        return json.loads(re.sub(r", …(?=[}\]])", "", "\n".join(lines)))


def is_command(line: str) -> bool:
    return line.removeprefix("$ ").startswith(("curl ", "llamachat "))


def blocks(page: str) -> list[Block]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return [
        Block(fenced[1], fenced[2])
        if fenced[3] is None
        else Block("", re.sub(r"^ {4}", "", fenced[3], flags=re.MULTILINE))
        for fenced in _BLOCK.finditer(text)
    ]


def assert_shape(shown: Any, actual: Any, where: str = "") -> None:
    """What a page shows is there: the same names, the same kinds of values."""
    if isinstance(shown, dict):
        assert isinstance(actual, dict), where
        for name, value in shown.items():
            assert name in actual, f"{where}.{name} is shown, and is not in {sorted(actual)}"
            assert_shape(value, actual[name], f"{where}.{name}")
    elif isinstance(shown, list) and shown:
        assert actual, f"{where} is shown with something in it"
        assert_shape(shown[0], actual[0], f"{where}[0]")
    elif shown is not None and actual is not None:
        is_number = isinstance(shown, (int, float)) and isinstance(actual, (int, float))
        assert is_number or type(shown) is type(actual), f"{where}: {shown!r} and {actual!r}"
