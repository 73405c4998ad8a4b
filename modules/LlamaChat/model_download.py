"""Get a model by name, and have it loaded from the next start on.

    python model_download.py --list          the models there are
    python model_download.py qwen3-4b        download it, and choose it
    python model_download.py guide           return to the built-in model

Invariant: the choice changes only when the model is there, whole and verified: whatever fails, what
worked before works still. Exit status: 0 done, 1 not done (the reason is printed), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from load_errors import ModelLoadError
from model_catalogue import (
    BUILTIN_NAME,
    CatalogueEntry,
    find_entry,
    read_catalogue,
    read_selection,
    write_selection,
)
from model_choice import ENV_FILENAME, ENV_REPO, builtin_model, model_directory
from model_source import ModelHub

MODULE_PATH = Path(__file__).resolve().parent
_GB = 1e9


def download(entry: CatalogueEntry, directory: Path, hub: ModelHub | None = None) -> Path:
    """Have the model's file in the directory and choose it. Returns the file's path.

    A file that is there already is used as it is. Raises ModelLoadError.
    """
    if entry.is_builtin:
        write_selection(directory, entry)
        source = builtin_model(MODULE_PATH)
        return source.directory / source.filename
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / entry.file
    if not path.is_file():
        if hub is None:
            from hub import Hub

            hub = Hub()
        path = hub.fetch(entry.repo, entry.file, path)
    write_selection(directory, entry)
    return path


def models_as_json(directory: Path) -> list[dict[str, Any]]:
    """The catalogue, with what is downloaded and what is chosen."""
    chosen = read_selection(directory) or BUILTIN_NAME
    return [
        {
            **entry.as_json(),
            "isDownloaded": entry.is_builtin or (directory / entry.file).is_file(),
            "isSelected": entry.name == chosen,
        }
        for entry in read_catalogue(MODULE_PATH)
    ]


def models_as_text(directory: Path) -> str:
    """The same for people; a star marks the chosen model."""
    lines = []
    for model in models_as_json(directory):
        star = "*" if model["isSelected"] else " "
        about = "" if model["sizeIsExact"] else "about "
        size = f"{about}{model['sizeBytes'] / _GB:.2f} GB"
        state = "here" if model["isDownloaded"] else "to download"
        lines.append(f"{star} {model['name']:<12} {size:>14}  {state:<12} {model['title']}")
        lines.append(f"{'':<30}{model['licence']}. {model['note']}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    directory = model_directory(os.environ, MODULE_PATH)
    try:
        if options.list or options.name is None:
            _say(_listing(directory, options.json))
            return 0
        entry = find_entry(MODULE_PATH, options.name)
        _say(_announcement(entry, directory))
        path = download(entry, directory)
    except ModelLoadError as ex:
        sys.stderr.write(f"{ex}.\nNothing was changed: the model chosen before is still chosen.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped; the same command goes on where this one stopped.\n")
        return 130
    _say(f"{path} is chosen: the next start of the host loads it.")
    _warn_of_settings()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Get a model by name, and have it loaded from the next start on."
    )
    parser.add_argument("name", nargs="?", help="the model, as --list names it")
    parser.add_argument("--list", action="store_true", help="show the models there are")
    parser.add_argument("--json", action="store_true", help="the list as JSON")
    return parser


def _listing(directory: Path, is_json: bool) -> str:
    return json.dumps(models_as_json(directory)) if is_json else models_as_text(directory)


def _announcement(entry: CatalogueEntry, directory: Path) -> str:
    if entry.is_builtin or (directory / entry.file).is_file():
        return f"{entry.title}: nothing to download."
    about = "" if entry.size_is_exact else "about "
    size = f"{about}{entry.size_bytes / _GB:.2f} GB"
    return f"{entry.title}: {size} from {entry.repo}, licence {entry.licence}."


def _warn_of_settings() -> None:
    """The environment wins over the choice: say so where it would."""
    for name in (ENV_FILENAME, ENV_REPO):
        if os.environ.get(name):
            _say(f"Note: {name} is set to '{os.environ[name]}' and wins over this choice.")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
