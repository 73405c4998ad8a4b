"""A GGUF that somebody brought: checked, and chosen where it lies or as a copy.

Invariant: the choice changes only when the file, and all its siblings, are what a chat needs.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from llama_engine.gguf.header import GgufHeader, read_header
from llama_engine.gguf.not_chat import refuse_unless_chat
from llama_engine.gguf.shards import shard_paths
from llama_engine.load_errors import LoadReason, ModelLoadError

from model_files.catalogue import write_path_selection

_SPARE_BYTES = 256 * 1024**2
"""What a copy leaves free on the disk."""
_GB = 1e9


def is_path(name: str) -> bool:
    """Whether that is a file and no name of the catalogue."""
    return name.lower().endswith(".gguf") or any(mark in name for mark in ("/", os.sep))


def check(path: Path) -> GgufHeader:
    """Read the header and refuse what cannot chat. Raises ModelLoadError."""
    try:
        header = read_header(path)
    except OSError as ex:
        message = f"'{path}' cannot be read: {ex.strerror or ex}"
        raise ModelLoadError(LoadReason.MISSING_FILE, message, path) from ex
    refuse_unless_chat(header)
    return header


def choose_path(header: GgufHeader, directory: Path, is_copied: bool) -> Path:
    """Choose the checked model where it lies, or a copy in the model directory.

    Returns the chosen path. Raises ModelLoadError (DISK_FULL).
    """
    path = header.path.resolve()
    if is_copied:
        path = _copy(header, directory)
    write_path_selection(directory, path)
    return path


def _copy(header: GgufHeader, directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    needed, free = header.file_bytes + _SPARE_BYTES, shutil.disk_usage(directory).free
    if needed > free:
        raise ModelLoadError(
            LoadReason.DISK_FULL,
            f"Not enough disk space for a copy of '{header.path.name}': {needed / _GB:.2f} GB are "
            f"needed in '{directory}', {free / _GB:.2f} GB are free. Leave out --copy to use it "
            "where it lies",
        )
    for source in shard_paths(header.path):
        target = directory / source.name
        if not (target.exists() and target.samefile(source)):
            draft = directory / f"{source.name}.copy"
            shutil.copyfile(source, draft)
            os.replace(draft, target)
    return (directory / header.path.name).resolve()
