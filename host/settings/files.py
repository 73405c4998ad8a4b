"""Settings files: read one, and lay several over each other.

Files are JSON with comments and trailing commas (JSON5, https://spec.json5.org).
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import json5

from host.settings.errors import SettingsError, shown

FILE_NAME = "modulesettings.json"

Place = tuple["str | int", ...]

_ARCHITECTURES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
_SYNTAX = re.compile(r"^<string>:(?P<line>\d+) (?P<what>.*) at column (?P<column>\d+)$", re.DOTALL)


@dataclass(frozen=True)
class Layer:
    """One file's content; later layers win over earlier ones."""

    file: Path
    content: dict[str, Any]


def read_layer(file: Path) -> Layer:
    """Read one settings file. Raises SettingsError."""
    try:
        text = file.read_text(encoding="utf-8-sig")  # editors on Windows write the mark
    except UnicodeDecodeError as ex:
        raise SettingsError(
            file, expected="text in UTF-8", got=f"byte 0x{ex.object[ex.start]:02x} at {ex.start}"
        ) from ex
    except OSError as ex:
        raise SettingsError(
            file, expected="a readable file", got=ex.strerror or type(ex).__name__
        ) from ex
    if not text.strip():
        raise SettingsError(file, expected="an object, as in { ... }", got="an empty file")
    try:
        content = json5.loads(text, allow_duplicate_keys=False)
    except RecursionError as ex:
        raise SettingsError(file, expected="JSON", got="brackets nested too deeply") from ex
    except ValueError as ex:
        raise _syntax_error(file, str(ex)) from ex
    if not isinstance(content, dict):
        raise SettingsError(file, expected="an object, as in { ... }", got=shown(content))
    return Layer(file, content)


def _syntax_error(file: Path, message: str) -> SettingsError:
    match = _SYNTAX.match(message)
    if match is None:
        return SettingsError(file, expected="JSON", got=message)
    return SettingsError(
        file,
        expected="JSON (comments and trailing commas are fine)",
        got=match["what"].replace("Unexpected", "unexpected", 1),
        line=int(match["line"]),
        column=int(match["column"]),
    )


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Objects merge key by key; anything else of `above`, lists too, replaces what is below."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        both_objects = isinstance(under, dict) and isinstance(value, dict)
        merged[key] = merge(under, value) if both_objects else value  # type: ignore[arg-type]
    return merged


def holds(content: Any, place: Place) -> bool:
    """Whether there is a value at that place."""
    for part in place:
        if isinstance(content, dict) and part in content:
            content = content[part]
        elif isinstance(content, list) and isinstance(part, int) and part < len(content):
            content = content[part]
        else:
            return False
    return True


@dataclass(frozen=True)
class Machine:
    """The platform as the names of settings files spell it."""

    os: str
    arch: str

    @classmethod
    def this(cls) -> Machine:
        os_name = {"win32": "windows", "darwin": "macos"}.get(sys.platform, "linux")
        arch = platform.machine().lower()
        return cls(os_name, _ARCHITECTURES.get(arch, arch))

    def file_names(self) -> tuple[str, str, str]:
        """The settings files of a module that apply here, each to be laid over the one before."""
        return (
            FILE_NAME,
            f"modulesettings.{self.os}.json",
            f"modulesettings.{self.os}.{self.arch}.json",
        )
