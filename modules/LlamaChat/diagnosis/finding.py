"""One thing that was looked at: good, or bad with a remedy."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """`remedy` says what to do; it is empty where nothing is to be done."""

    name: str
    is_good: bool
    text: str
    remedy: str = ""

    def as_json(self) -> str:
        """One line, as `llamachat doctor` reads it."""
        return json.dumps(
            {"check": self.name, "ok": self.is_good, "finding": self.text, "remedy": self.remedy}
        )

    def as_text(self) -> str:
        line = f"{'good' if self.is_good else 'BAD':<5} {self.name:<12} {self.text}"
        return line if self.is_good or not self.remedy else f"{line}\n{'':<5} -> {self.remedy}"


def good(name: str, text: str) -> Finding:
    return Finding(name, True, text)


def bad(name: str, text: str, remedy: str) -> Finding:
    return Finding(name, False, text, remedy)
