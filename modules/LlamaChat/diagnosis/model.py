"""The model: which one it is, whether its file is whole, and whether it fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from gguf_header import GgufHeader, read_header
from load_errors import ModelLoadError
from model_catalogue import BUILTIN_FILE
from model_choice import HOW_TO_RETURN, choose_model
from model_source import ModelSource

from diagnosis.finding import Finding, bad, good

COMPUTE_BYTES = 192 * 1024**2
"""Beside the weights, at the least: compute buffers and a short context."""

FreeBytes = Callable[[], int]
"""What a model can have: the machine's memory, and that of the GPUs that are used."""

_SMALLER = "choose a smaller one: `llamachat models` says which fit; or end what takes the memory"
_RESTORE = (
    "the built-in model is part of LlamaChat: get models/guide.gguf anew, with "
    "`git checkout models/guide.gguf` or by installing the package again"
)


def check_model(
    environment: Mapping[str, str], module_path: Path, free_bytes: FreeBytes
) -> Finding:
    """What the module would load. A running module has loaded it already: then it fits."""
    try:
        source = choose_model(environment, module_path)
    except ModelLoadError as error:
        return bad("model", str(error), HOW_TO_RETURN)
    path = source.directory / source.filename
    if is_to_be_fetched(source):
        return good("model", f"to be fetched from hub repository {source.repo}, at the first start")
    try:
        header = read_header(path)
    except ModelLoadError as error:
        return bad("model", str(error), _remedy(path))
    except OSError as error:
        return bad("model", f"{path}: {error.strerror or error}", _remedy(path))
    is_running = environment.get("CPAI_MODULE_IS_RUNNING") == "true"
    return _check_size(header, None if is_running else free_bytes())


def is_to_be_fetched(source: ModelSource) -> bool:
    """Whether the model is not here, and a hub repository is named that has it."""
    if not source.repo or (source.filename and (source.directory / source.filename).is_file()):
        return False
    return not any((source.directory / source.repo.replace("/", "--")).glob("*.gguf"))


def _remedy(path: Path) -> str:
    return _RESTORE if path.name == BUILTIN_FILE else HOW_TO_RETURN


def _check_size(header: GgufHeader, free: int | None) -> Finding:
    kind = f"{header.architecture} {header.quantisation or ''}".strip()
    text = f"{header.path}, {kind}, {_gb(header.file_bytes)}"
    if free is None:
        return good("model", f"{text}; the module that runs has loaded it")
    if header.file_bytes + COMPUTE_BYTES > free:
        return bad("model", f"{text}: too large, {_gb(free)} are free", _SMALLER)
    return good("model", f"{text}; {_gb(free)} are free")


def _gb(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
