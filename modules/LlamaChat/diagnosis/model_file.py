"""The model: which one it is, whether its file is whole, can chat, and fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from llama_engine.gguf.header import GgufHeader
from llama_engine.gguf.shards import first_shard, missing_shards
from llama_engine.load_errors import ModelLoadError
from model_files.by_hand import check
from model_files.catalogue import BUILTIN_FILE
from model_files.choice import HOW_TO_RETURN, choose_model
from model_files.source import ModelSource

from diagnosis.finding import Finding, bad, good
from diagnosis.room import Room

RoomFor = Callable[[int], Room]
"""Whether weights of so many bytes fit."""

_SMALLER = "choose a smaller one: `llamachat models` says which fit; or end what takes the memory"
_RESTORE = (
    "the built-in model is part of LlamaChat: get models/guide.gguf anew, with "
    "`git checkout models/guide.gguf` or by installing the package again"
)


def check_model(environment: Mapping[str, str], module_path: Path, room_for: RoomFor) -> Finding:
    """What the module would load. A running module has loaded it already: then it fits."""
    try:
        source = choose_model(environment, module_path)
    except ModelLoadError as error:
        return bad("model", str(error), HOW_TO_RETURN)
    if is_to_be_fetched(source):
        return good("model", f"to be fetched from hub repository {source.repo}, at the first start")
    path = _path(source)
    try:
        header = check(path)
    except ModelLoadError as error:
        return bad("model", str(error), _RESTORE if path.name == BUILTIN_FILE else HOW_TO_RETURN)
    is_running = environment.get("CPAI_MODULE_IS_RUNNING") == "true"
    return _check_size(header, None if is_running else room_for(header.file_bytes))


def is_to_be_fetched(source: ModelSource) -> bool:
    """Whether the model is not here, and a hub repository is named that has it."""
    return bool(source.repo) and _kept(source) is None


def _path(source: ModelSource) -> Path:
    return _kept(source) or source.directory / source.filename


def _kept(source: ModelSource) -> Path | None:
    """The file, where all of it is here: by its name, or as it was fetched."""
    path = source.directory / first_shard(source.filename)
    if source.filename and not missing_shards(path):
        return path
    if not source.repo:
        return None
    folder = source.directory / source.repo.replace("/", "--")
    fetched = sorted(folder.glob(source.fileglob or source.filename or "*.gguf"))
    return next((one for one in fetched if not missing_shards(one)), None)


def _check_size(header: GgufHeader, room: Room | None) -> Finding:
    kind = f"{header.architecture} {header.quantisation or ''}".strip()
    text = f"{header.path}, {kind}, {_gb(header.file_bytes)}"
    if room is None:
        return good("model", f"{text}; the module that runs has loaded it")
    text = f"{text}: {room.how}; free: {room.free}"
    return good("model", text) if room.fits else bad("model", text, _SMALLER)


def _gb(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
