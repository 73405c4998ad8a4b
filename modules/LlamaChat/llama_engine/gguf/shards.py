"""Models in several files: `name-00001-of-00003.gguf` and its siblings.

Invariant: any shard's name leads to all of them, in order; llama.cpp is given the first.
"""

from __future__ import annotations

import re
from pathlib import Path

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>(?!00000)\d{5})\.gguf")


def shard_names(name: str) -> list[str]:
    """The names of all files of a model, given one of them; a whole file's is alone."""
    match = _SHARD.fullmatch(name)
    if match is None:
        return [name]
    stem, count = match["stem"], match["count"]
    return [f"{stem}-{number:05}-of-{count}.gguf" for number in range(1, int(count) + 1)]


def first_shard(name: str) -> str:
    """The file that stands for the whole model."""
    return shard_names(name)[0]


def shard_paths(path: Path) -> list[Path]:
    """The same for paths; they need not be there."""
    return [path.with_name(name) for name in shard_names(path.name)]


def missing_shards(path: Path) -> list[Path]:
    """Those of the model's files that are not there."""
    return [shard for shard in shard_paths(path) if not shard.is_file()]


def models_among(names: list[str]) -> list[str]:
    """Names of files without those that another one stands for."""
    return sorted({first_shard(name) for name in names})
