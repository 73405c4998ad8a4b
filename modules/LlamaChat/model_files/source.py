"""Where a model file comes from: the directory first, then the hub.

Invariant: a file of another name is never taken silently for the one asked for; what the glob finds
on the hub is kept in a folder named after its repository. A model in several files is there when
all of them are, and any of their names leads to the first.
"""

from __future__ import annotations

import fnmatch
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from llama_engine import load_errors
from llama_engine.gguf.shards import first_shard, missing_shards, shard_paths
from llama_engine.load_errors import ModelLoadError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelSource:
    """A model file, and the hub repository that has it (empty: none)."""

    directory: Path
    filename: str
    repo: str = ""
    fileglob: str = ""


class ModelHub(Protocol):
    """What is needed of the hub."""

    def find(self, repo: str, fileglob: str) -> str: ...

    def fetch(self, repo: str, name: str, target: Path) -> Path: ...


def locate(source: ModelSource, hub: ModelHub | None = None) -> Path:
    """The path of the model's file, downloaded if need be. Blocks for as long as that takes.

    Raises ModelLoadError.
    """
    if source.repo and source.directory.parent.is_dir():
        source.directory.mkdir(exist_ok=True)
    if not source.directory.is_dir():
        raise load_errors.missing_directory(source.directory)
    path = source.directory / first_shard(source.filename)
    missing = missing_shards(path)
    if not missing:
        return path
    if source.repo:
        return _from_hub(source, hub)
    count = len(shard_paths(path))
    if len(missing) < count:
        raise load_errors.missing_shards(path, missing, count)
    raise load_errors.missing_file(path)


def _from_hub(source: ModelSource, hub: ModelHub | None) -> Path:
    fileglob = source.fileglob or source.filename
    cache = source.directory / source.repo.replace("/", "--")
    kept = sorted(path for path in cache.glob("*.gguf") if fnmatch.fnmatch(path.name, fileglob))
    whole = [path for path in kept if not missing_shards(path)]
    if whole:
        return whole[0].with_name(first_shard(whole[0].name))
    if hub is None:
        # Importing the hub's client takes a second, and most starts do without it.
        from model_files.hub import Hub

        hub = Hub()
    try:
        name = hub.find(source.repo, fileglob)
        logger.info("Fetching %s from hub repository %s", name, source.repo)
        return hub.fetch(source.repo, name, cache / Path(name).name)
    except ModelLoadError as ex:
        missing = f"Model file '{source.filename or fileglob}' is not in '{source.directory}'. "
        raise ModelLoadError(ex.reason, missing + str(ex), source.directory) from ex
