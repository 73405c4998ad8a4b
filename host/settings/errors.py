"""What is wrong with a settings file.

Invariant: every message names the file, the place in it, what was expected and what came; but what
looks like a secret, by its name or as a password in an address, is in no message.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_SHOWN_CHARACTERS = 60
_HIDDEN = "***"

_SECRET_NAME = re.compile(r"token|key|pass|pwd|secret|credential|auth", re.IGNORECASE)
_PASSWORD = re.compile(r":(?!/)\S*@")  # in an address, however mistyped: all up to the last @
_PASSWORD_IN_QUERY = re.compile(r"(?<=password=)[^&\s]*", re.IGNORECASE)


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


def shown(value: Any, key: str = "") -> str:
    """A value as it stood in the file under `key`, cut to what fits into a message."""
    if _is_secret(key, value):
        return "a value that is not shown"
    text = json.dumps(_without_secrets(value), ensure_ascii=False, default=repr)
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."


def _is_secret(key: str, value: Any) -> bool:
    return _SECRET_NAME.search(key) is not None and not isinstance(value, (bool, type(None)))


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _HIDDEN if _is_secret(str(key), item) else _without_secrets(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    if isinstance(value, str):
        return _PASSWORD_IN_QUERY.sub(_HIDDEN, _PASSWORD.sub(f":{_HIDDEN}@", value))
    return value
