"""The models that are known by name, and which of them was chosen.

Invariant: the choice is one small file in the model directory, written whole or not at all; no file
there means the built-in model.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_engine.load_errors import LoadReason, ModelLoadError

BUILTIN_NAME = "guide"
BUILTIN_FILE = "guide.gguf"
CATALOGUE_FILE = "model_catalogue.json"
SELECTION_FILE = "selected.json"


@dataclass(frozen=True)
class CatalogueEntry:
    """A model that can be had by name."""

    name: str
    title: str
    repo: str
    """On the hub; empty for the built-in model."""
    file: str
    size_bytes: int
    size_is_exact: bool
    licence: str
    context_tokens: int
    """What it was trained for; 0 where only the file says."""
    note: str

    @property
    def is_builtin(self) -> bool:
        return not self.repo

    def as_json(self) -> dict[str, Any]:
        """As in the catalogue's file."""
        return {
            "name": self.name,
            "title": self.title,
            "repo": self.repo,
            "file": self.file,
            "sizeBytes": self.size_bytes,
            "sizeIsExact": self.size_is_exact,
            "licence": self.licence,
            "contextTokens": self.context_tokens,
            "note": self.note,
        }


def read_catalogue(module_path: Path) -> list[CatalogueEntry]:
    """The known models, in the order in which they are shown."""
    content = json.loads((module_path / CATALOGUE_FILE).read_text(encoding="utf-8"))
    builtin = builtin_path(module_path)
    size = builtin.stat().st_size if builtin.is_file() else 0
    return [_entry({"sizeBytes": size, "sizeIsExact": True, **item}) for item in content["models"]]


def builtin_path(module_path: Path) -> Path:
    """The built-in model's file: in the module's package, or at the root of the project."""
    packaged = module_path / "models" / BUILTIN_FILE
    return packaged if packaged.exists() else module_path.parent.parent / "models" / BUILTIN_FILE


def find_entry(module_path: Path, name: str) -> CatalogueEntry:
    """The model of that name, in any case. Raises ModelLoadError with the names there are."""
    entries = read_catalogue(module_path)
    for entry in entries:
        if entry.name == name.strip().lower():
            return entry
    names = ", ".join(entry.name for entry in entries)
    raise ModelLoadError(
        LoadReason.MISSING_FILE, f"No model is called '{name}': expected one of {names}"
    )


def read_selection(directory: Path) -> str | None:
    """The model chosen by `model_download.py`: a name, or an absolute path; None: nobody chose.

    Raises ModelLoadError where the file is not what was written.
    """
    path = directory / SELECTION_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        chosen = content["path"] if "path" in content else content["name"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as ex:
        raise ModelLoadError(
            LoadReason.OTHER,
            f"'{path}' cannot be read: expected {{\"name\": ...}} ({ex}). Delete it to return to "
            "the built-in model",
            path,
        ) from ex
    return str(chosen)


def write_selection(directory: Path, entry: CatalogueEntry) -> None:
    """Make that model the one that is loaded from the next start on."""
    path = directory / SELECTION_FILE
    if entry.is_builtin:
        path.unlink(missing_ok=True)
    else:
        _write(path, {"name": entry.name})


def write_path_selection(directory: Path, model: Path) -> None:
    """The same for a file that somebody brought."""
    _write(directory / SELECTION_FILE, {"path": str(model)})


def _write(path: Path, content: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(content) + "\n", encoding="utf-8")
    os.replace(draft, path)


def _entry(item: dict[str, Any]) -> CatalogueEntry:
    return CatalogueEntry(
        name=item["name"],
        title=item["title"],
        repo=item["repo"],
        file=item["file"],
        size_bytes=item["sizeBytes"],
        size_is_exact=item["sizeIsExact"],
        licence=item["licence"],
        context_tokens=item["contextTokens"],
        note=item["note"],
    )
