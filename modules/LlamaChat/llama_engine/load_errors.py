"""Why a model could not be loaded, told apart.

Invariant: every way to fail has one `LoadReason`, and its message says what was expected, what came
and what to do. llama.cpp itself only answers NULL; the reason is in its log, read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from pathlib import Path


class LoadReason(str, Enum):
    """The kinds of failure that a user acts on differently."""

    MISSING_FILE = "missing_file"
    """The directory is there, the file is not, and no hub repository is named to get it from."""
    MISSING_DIRECTORY = "missing_directory"
    """The model directory itself is not there."""
    NO_NETWORK = "no_network"
    """The file is not here, and the hub cannot be reached."""
    NO_MATCH = "no_match"
    """The hub has no such repository, or no file in it matches the glob."""
    DISK_FULL = "disk_full"
    """The file would not fit on the disk."""
    DAMAGED_DOWNLOAD = "damaged_download"
    """What the hub sent is not what it announced."""
    NOT_GGUF = "not_gguf"
    """The file does not begin as a GGUF does."""
    TRUNCATED = "truncated"
    """The file ends before its tensors do."""
    UNSUPPORTED = "unsupported_architecture"
    """This build of llama.cpp does not know the model's architecture."""
    NOT_CHAT = "not_a_chat_model"
    """It is for something else than writing text: embeddings, ranking, a part of another model."""
    OUT_OF_MEMORY = "out_of_memory"
    """The weights or the KV cache do not fit."""
    BROKEN_BUILD = "broken_build"
    """This build of llama.cpp dies, hangs or answers nonsense on this processor."""
    NO_LIBRARY = "no_library"
    """llama-cpp-python is not installed, or its library does not load."""
    OTHER = "other"
    """Anything else that llama.cpp said."""


class ModelLoadError(Exception):
    """A model could not be found, fetched or loaded."""

    def __init__(self, reason: LoadReason, message: str, path: Path | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.path = path


class PromptTooLongError(ValueError):
    """The prompt has no room in the context. Both counts include the chat template's own tokens."""

    def __init__(self, prompt_tokens: int, context_tokens: int) -> None:
        super().__init__(
            f"The prompt is too long: it has {prompt_tokens} tokens and the model's context holds "
            f"{context_tokens}, reply included. Shorten the prompt or the system prompt, or choose "
            "a model with a longer context"
        )
        self.prompt_tokens = prompt_tokens
        self.context_tokens = context_tokens


def missing_file(path: Path) -> ModelLoadError:
    """There is no such file, and nowhere to get it from."""
    return ModelLoadError(
        LoadReason.MISSING_FILE,
        f"Model file not found: expected '{path.name}' in '{path.parent}', and no hub repository "
        "is set to fetch it from. Put the file there, or set CPAI_MODULE_LLAMA_MODEL_REPO and "
        "CPAI_MODULE_LLAMA_MODEL_FILEGLOB",
        path,
    )


def missing_shards(path: Path, missing: list[Path], count: int) -> ModelLoadError:
    """A model in several files, of which some are not there."""
    names = ", ".join(f"'{shard.name}'" for shard in missing[:3])
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return ModelLoadError(
        LoadReason.MISSING_FILE,
        f"'{path.name}' is one of {count} files of a model, and not all are there: expected "
        f"{names}{more} in '{path.parent}'. Put all {count} there, or fetch the model again",
        path,
    )


def renamed_shard(path: Path, number: int, count: int) -> ModelLoadError:
    """A part of a model under a name from which the others cannot be found."""
    return ModelLoadError(
        LoadReason.MISSING_FILE,
        f"'{path}' is part {number} of {count} of a model: expected all parts side by side, named "
        f"like 'model-{number:05}-of-{count:05}.gguf'. Give them the names they were published "
        "with",
        path,
    )


def not_chat(path: Path, detail: str) -> ModelLoadError:
    """A file that llama.cpp may load, and that cannot write a reply."""
    return ModelLoadError(
        LoadReason.NOT_CHAT,
        f"'{path.name}' cannot chat: {detail}. Choose a model that writes text (an instruct or "
        "chat model)",
        path,
    )


def missing_directory(directory: Path) -> ModelLoadError:
    """The model directory is not there, or is something else."""
    found = "a file" if directory.exists() else "nothing"
    return ModelLoadError(
        LoadReason.MISSING_DIRECTORY,
        f"Model directory not found: expected a directory at '{directory}', found {found}. Create "
        "it, or correct CPAI_MODULE_LLAMA_MODEL_DIR",
        directory,
    )


def not_gguf(path: Path, magic: bytes) -> ModelLoadError:
    """The first four bytes are not those of a GGUF."""
    found = spoken_bytes(magic) if magic else "an empty file"
    return ModelLoadError(
        LoadReason.NOT_GGUF,
        f"'{path}' is not a GGUF file: expected it to begin with \"GGUF\", found {found}. Only "
        "models in the GGUF format can be loaded",
        path,
    )


def spoken_bytes(raw: bytes) -> str:
    """A few bytes of a file: as text in quotes where they are some, else as numbers."""
    if raw.isascii() and raw.decode("ascii").isprintable():
        return f'"{raw.decode("ascii")}"'
    return f"the bytes {raw.hex(' ')}"


def truncated(path: Path, detail: str) -> ModelLoadError:
    """The file ends too early."""
    return ModelLoadError(
        LoadReason.TRUNCATED,
        f"'{path}' is cut short or damaged: {detail}. Download it again",
        path,
    )


def out_of_memory(path: Path, detail: str) -> ModelLoadError:
    """Weights or KV cache do not fit."""
    return ModelLoadError(
        LoadReason.OUT_OF_MEMORY,
        f"Not enough memory for '{path.name}': {detail}. Choose a smaller model or quantisation, "
        "or set a smaller CPAI_MODULE_LLAMA_CONTEXT_TOKENS",
        path,
    )


_LOG_PATTERNS: tuple[tuple[str, LoadReason], ...] = (
    (r"unknown (model )?architecture|unknown pre-tokenizer|unsupported", LoadReason.UNSUPPORTED),
    (r"invalid magic|failed to read magic|bad magic", LoadReason.NOT_GGUF),
    (
        r"out of memory|bad_alloc|(failed|unable) to allocate|failed to reserve|cannot allocate",
        LoadReason.OUT_OF_MEMORY,
    ),
    (
        r"not within the file bounds|corrupted|incomplete|failed to read|unexpected end|truncated",
        LoadReason.TRUNCATED,
    ),
)


def from_log(path: Path, errors: Iterable[str]) -> ModelLoadError:
    """The reason in llama.cpp's error lines, given oldest first."""
    lines = [line.strip() for line in errors if line.strip()]
    for pattern, reason in _LOG_PATTERNS:
        for line in lines:
            if re.search(pattern, line, re.IGNORECASE):
                return _from_line(path, reason, line)
    said = _without_function(lines[0]) if lines else "llama.cpp gave no reason"
    return ModelLoadError(LoadReason.OTHER, f"'{path}' could not be loaded: {said}", path)


def _from_line(path: Path, reason: LoadReason, line: str) -> ModelLoadError:
    said = _without_function(line)
    if reason is LoadReason.TRUNCATED:
        return truncated(path, said)
    if reason is LoadReason.OUT_OF_MEMORY:
        return out_of_memory(path, said)
    if reason is LoadReason.NOT_GGUF:
        return ModelLoadError(reason, f"'{path}' is not a usable GGUF file: {said}", path)
    return ModelLoadError(
        reason,
        f"This build of llama.cpp cannot run '{path.name}': {said}. Update llama-cpp-python, or "
        "choose another model",
        path,
    )


def _without_function(line: str) -> str:
    """`llama_model_load: error loading model: X` without the names of the C functions."""
    return re.sub(r"^(\w+: )+(error loading model: )?", "", line)
