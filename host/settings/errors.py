"""What is wrong with a settings file.

Invariant: every message names the file, the place in it, what was expected and what came.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_SHOWN_CHARACTERS = 60


class SettingsError(Exception):
    """A settings file that cannot be used: the file, the key in it, what was expected, what came.

    `key` is empty where the file as a whole is meant; `line` and `column` (from 1) are there
    where the file is not JSON at all.
    """

    def __init__(
        self,
        file: Path,
        *,
        expected: str,
        got: str,
        key: str = "",
        line: int | None = None,
        column: int | None = None,
    ) -> None:
        place = f"{file}:{line}:{column}" if line is not None else str(file)
        super().__init__(f"{place}: {key + ': ' if key else ''}expected {expected}, got {got}")
        self.file = file
        self.key = key
        self.expected = expected
        self.got = got
        self.line = line
        self.column = column


def shown(value: Any) -> str:
    """A value as it stood in the file, cut to what fits into a message."""
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
