"""Write the zip of a module, as another host takes it.

Invariant: the same files give the same bytes (sorted names, one timestamp), and the module is only
read, never imported. What goes in besides its folder the module says itself, in its settings.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import json5

from host.settings.home import HOME

SETTINGS_FILE = "modulesettings.json"
LEFT_OUT_FOLDERS = frozenset(("models", "sdk", "tests"))
"""Of a module's folder: downloaded models, an older SDK, tests. Hidden folders are left out too."""
LEFT_OUT_ANYWHERE = frozenset(("__pycache__", "node_modules"))
LEFT_OUT_SUFFIXES = frozenset((".pyc", ".pyo", ".log", ".zip", ".tmp", ".part"))
SDK_FOLDER = "sdk"
SDK_DIR = HOME / "sdk"
"""The SDK as it is shipped with this host: files to copy, never imported here."""

_TIMESTAMP = (2020, 1, 1, 0, 0, 0)
_STORED_SUFFIXES = frozenset((".gguf",))
"""Weights hardly shrink, and packing them takes time."""


class PackageError(Exception):
    """A module that cannot be packed: what was expected, what came."""


@dataclass(frozen=True)
class PackagedFile:
    """A file, and its place in the package."""

    source: Path
    name: str


def package_module(module_dir: Path, out_dir: Path, sdk_dir: Path = SDK_DIR) -> Path:
    """Write `{ModuleId}-{Version}.zip` into `out_dir`, which is made if need be. Returns its path.

    The module's files come at the top of it, the SDK in its folder `sdk/`, and the files that the
    module's settings name under `PackageOptions.Include` (`From` as seen from the module's folder,
    `To` in the package). Raises PackageError.
    """
    module_id, settings = _read_settings(module_dir / SETTINGS_FILE)
    files = _unique(
        [
            *_folder_files(module_dir, PurePosixPath(), left_out=LEFT_OUT_FOLDERS),
            *_folder_files(sdk_dir, PurePosixPath(SDK_FOLDER)),
            *_included_files(module_dir, settings),
        ]
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / f"{module_id}-{settings.get('Version', '0.0.0')}.zip"
    draft = path.with_suffix(".tmp")
    try:
        _write(draft, files)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _read_settings(path: Path) -> tuple[str, Mapping[str, Any]]:
    """The id and the settings of the one module in the file."""
    try:
        content = json5.loads(path.read_text(encoding="utf-8"))
        modules = content["Modules"]
        ((module_id, settings),) = modules.items()
    except FileNotFoundError as ex:
        raise PackageError(f"{path.parent} is not a module: expected {SETTINGS_FILE} in it") from ex
    except (ValueError, KeyError, TypeError, AttributeError) as ex:
        raise PackageError(
            f'{path}: expected {{"Modules": {{"<id>": {{...}}}}}} with one module ({ex})'
        ) from ex
    return module_id, settings


def _folder_files(
    folder: Path, place: PurePosixPath, left_out: frozenset[str] = frozenset()
) -> Iterator[PackagedFile]:
    """The files under a folder; `left_out` names folders at its top that stay behind."""
    if not folder.is_dir():
        raise PackageError(f"Expected a folder at {folder}, found none")
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and _is_wanted(parts, left_out):
            yield PackagedFile(path, str(place.joinpath(*parts)))


def _is_wanted(parts: tuple[str, ...], left_out: frozenset[str]) -> bool:
    if any(part.startswith(".") or part in LEFT_OUT_ANYWHERE for part in parts):
        return False
    if len(parts) > 1 and parts[0] in left_out:
        return False
    return PurePosixPath(parts[-1]).suffix not in LEFT_OUT_SUFFIXES


def _included_files(module_dir: Path, settings: Mapping[str, Any]) -> Iterator[PackagedFile]:
    options = settings.get("PackageOptions") or {}
    for item in options.get("Include") or []:
        source = (module_dir / str(item.get("From", ""))).resolve()
        name = PurePosixPath(str(item.get("To", "")))
        if not source.is_file():
            raise PackageError(
                f"PackageOptions.Include of {module_dir.name}: expected a file at {source}"
            )
        if not name.parts or name.is_absolute() or ".." in name.parts:
            raise PackageError(
                f"PackageOptions.Include of {module_dir.name}: expected 'To' to be a place inside "
                f"the package, got '{name}'"
            )
        yield PackagedFile(source, str(name))


def _unique(files: list[PackagedFile]) -> list[PackagedFile]:
    """Sorted by name; of two with the same name the later one, which the settings named."""
    return sorted({file.name: file for file in files}.values(), key=lambda file: file.name)


def _write(path: Path, files: list[PackagedFile]) -> None:
    with zipfile.ZipFile(path, "w") as package:
        for file in files:
            info = zipfile.ZipInfo(file.name, date_time=_TIMESTAMP)
            is_script = file.source.suffix == ".sh"
            info.external_attr = (0o100755 if is_script else 0o100644) << 16
            info.create_system = 3  # Unix, wherever the package was written
            is_stored = file.source.suffix in _STORED_SUFFIXES
            info.compress_type = zipfile.ZIP_STORED if is_stored else zipfile.ZIP_DEFLATED
            package.writestr(info, file.source.read_bytes())
