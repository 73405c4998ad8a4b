"""Get a model by name or path, and have it loaded from the next start on.

    python model_download.py --list          the models there are, and which fit this machine
    python model_download.py qwen3-4b        download it, and choose it
    python model_download.py my.gguf         choose a file where it lies; --copy: a copy of it
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

from llama_engine.gguf.shards import missing_shards
from llama_engine.load_errors import ModelLoadError
from model_files import by_hand
from model_files.catalogue import (
    BUILTIN_NAME,
    CatalogueEntry,
    find_entry,
    read_catalogue,
    read_selection,
    write_selection,
)
from model_files.choice import ENV_FILENAME, ENV_REPO, builtin_model, model_directory
from model_files.fit import Fit, FreeMemory
from model_files.source import ModelHub

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
    if not missing_shards(path):
        by_hand.check(path)
    else:
        if hub is None:
            from model_files.hub import Hub

            hub = Hub()
        path = hub.fetch(entry.repo, entry.file, path)
    write_selection(directory, entry)
    return path


def models_as_json(directory: Path, free: FreeMemory) -> list[dict[str, Any]]:
    """The catalogue, with what is downloaded, what is chosen and what fits."""
    chosen = read_selection(directory) or BUILTIN_NAME
    return [
        {
            **entry.as_json(),
            "isDownloaded": _is_here(entry, directory),
            "isSelected": entry.name == chosen,
            "fit": free.fit(entry.size_bytes).value,
        }
        for entry in read_catalogue(MODULE_PATH)
    ]


def models_as_text(directory: Path, free: FreeMemory) -> str:
    """The same for people; a star marks the chosen model."""
    lines = [f"Free now: {free}."]
    for model in models_as_json(directory, free):
        star = "*" if model["isSelected"] else " "
        size = _size(model["sizeBytes"], model["sizeIsExact"])
        state = "here" if model["isDownloaded"] else "to download"
        fit = Fit(model["fit"]).in_words()
        lines.append(
            f"{star} {model['name']:<14} {size:>14}  {state:<12} {fit:<19} {model['title']}"
        )
        lines.append(f"{'':<33}{model['licence']}. {model['note']}")
    chosen = read_selection(directory) or ""
    if by_hand.is_path(chosen):
        lines.append(f"* {chosen}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    directory = model_directory(os.environ, MODULE_PATH)
    try:
        if options.list or options.name is None:
            _say(_listing(directory, options.json))
            return 0
        path = _chosen(options.name, directory, options.copy)
    except ModelLoadError as ex:
        sys.stderr.write(f"{ex}.\nNothing was changed: the model chosen before is still chosen.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped; the same command goes on where this one stopped.\n")
        return 130
    _say(f"{path} is chosen: the next start of the host loads it.")
    _warn_of_settings()
    return 0


def _chosen(name: str, directory: Path, is_copied: bool) -> Path:
    """Have the model, choose it, and say what will become of it. Raises ModelLoadError."""
    if by_hand.is_path(name):
        header = by_hand.check(Path(name).expanduser())
        _say_if_too_large(header.file_bytes)
        return by_hand.choose_path(header, directory, is_copied)
    entry = find_entry(MODULE_PATH, name)
    _say(_announcement(entry, directory))
    _say_if_too_large(entry.size_bytes)
    return download(entry, directory)


def _is_here(entry: CatalogueEntry, directory: Path) -> bool:
    return entry.is_builtin or not missing_shards(directory / entry.file)


def _say_if_too_large(size_bytes: int) -> None:
    free = FreeMemory.now()
    if free.fit(size_bytes) is Fit.TOO_LARGE:
        _say(
            f"Note: {_size(size_bytes)} is more than this machine has free now ({free}). It will "
            "not load unless other programs give memory back; or choose a smaller model."
        )


def _size(size_bytes: int, is_exact: bool = True) -> str:
    about = "" if is_exact else "about "
    if size_bytes < _GB / 10:
        return f"{about}{size_bytes / 1e6:.1f} MB"
    return f"{about}{size_bytes / _GB:.2f} GB"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Get a model by name or path, and have it loaded from the next start on."
    )
    parser.add_argument("name", nargs="?", help="the model, as --list names it, or a GGUF file")
    parser.add_argument("--copy", action="store_true", help="copy that file beside the others")
    parser.add_argument("--list", action="store_true", help="show the models there are")
    parser.add_argument("--json", action="store_true", help="the list as JSON")
    return parser


def _listing(directory: Path, is_json: bool) -> str:
    free = FreeMemory.now()
    if is_json:
        return json.dumps(models_as_json(directory, free))
    return models_as_text(directory, free)


def _announcement(entry: CatalogueEntry, directory: Path) -> str:
    if _is_here(entry, directory):
        return f"{entry.title}: nothing to download."
    size = _size(entry.size_bytes, entry.size_is_exact)
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
