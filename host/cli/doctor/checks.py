"""One thing that was looked at, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """Good, or bad with a remedy. `module` is empty where the host looked itself."""

    name: str
    is_good: bool
    finding: str
    remedy: str = ""
    module: str = ""

    @property
    def title(self) -> str:
        return f"{self.module}: {self.name}" if self.module else self.name

    def as_json(self) -> dict[str, Any]:
        return {
            "check": self.name,
            "module": self.module or None,
            "ok": self.is_good,
            "finding": self.finding,
            "remedy": self.remedy,
        }


def good(name: str, finding: str, module: str = "") -> Check:
    """Nothing is to be done."""
    return Check(name, True, finding, module=module)


def bad(name: str, finding: str, remedy: str, module: str = "") -> Check:
    """Something is wrong; `remedy` says what to do."""
    return Check(name, False, finding, remedy, module)
