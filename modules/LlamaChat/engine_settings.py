"""The engine's options, from the module's settings (its environment variables).

Invariant: a value that cannot be used is an error that names the variable, what was expected and
what came; a variable that is not set, or blank, leaves the engine's own default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import platformdirs
from llama_engine.errors import ParameterError
from llama_engine.options import EngineOptions

PREFIX = "CPAI_MODULE_LLAMA_"
DISK_CACHE_FOLDER = "llama_prefix_cache"
DATA_DIR = "CPAI_DATA_DIR"
"""Variable with the host's data directory."""
_MIB = 1024**2


class SettingError(ValueError):
    """A setting that cannot be used."""

    def __init__(self, name: str, expected: str, got: str) -> None:
        super().__init__(f"{name}: expected {expected}, got '{got}'")


def engine_options(environment: Mapping[str, str], module_path: Path) -> EngineOptions:
    """Read what is set. Raises SettingError."""
    fields: dict[str, Any] = {}
    for name, (field, parse, expected) in _SETTINGS.items():
        text = environment.get(PREFIX + name, "").strip()
        if not text:
            continue
        try:
            fields[field] = parse(text)
        except ValueError:
            raise SettingError(PREFIX + name, expected, text) from None
    if fields.get("disk_cache_bytes"):
        directory = fields.get("disk_cache_directory") or _cache_directory(environment)
        fields["disk_cache_directory"] = module_path / directory
    options = EngineOptions(**fields)
    try:
        options.check()
    except ParameterError as ex:
        raise SettingError(_variable_of(ex.name), ex.expected, str(ex.got)) from ex
    return options


def _cache_directory(environment: Mapping[str, str]) -> Path:
    """Beside the host's data, else in the user's cache: the code's folder may be read-only."""
    data = environment.get(DATA_DIR)
    base = Path(data) if data else platformdirs.user_cache_path("llamachat", appauthor=False)
    return base / DISK_CACHE_FOLDER


def _variable_of(field: str) -> str:
    names = [name for name, (known, _, _) in _SETTINGS.items() if known == field]
    return PREFIX + names[0] if names else field


def _mebibytes(text: str) -> int:
    return int(text) * _MIB


def _mebibytes_or_auto(text: str) -> int:
    return -1 if int(text) == -1 else _mebibytes(text)


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _switch(text: str) -> bool:
    switches = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
    if text.lower() not in switches:
        raise ValueError(text)
    return switches[text.lower()]


def _shares(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _loras(text: str) -> tuple[tuple[Path, float], ...]:
    """`file.gguf=0.5;other.gguf`: a scale that is not given is 1."""
    found = []
    for part in text.split(";"):
        path, _, scale = part.partition("=")
        found.append((Path(path.strip()), float(scale or 1)))
    return tuple(found)


_Setting = tuple[str, Callable[[str], Any], str]
_NUMBER, _TEXT = "a whole number", "a text"

_SETTINGS: dict[str, _Setting] = {
    "CONTEXT_TOKENS": ("context_tokens", int, _NUMBER),
    "TOTAL_TOKENS": ("total_tokens", int, _NUMBER),
    "THREADS": ("threads", int, _NUMBER),
    "BATCH_THREADS": ("batch_threads", int, _NUMBER),
    "BATCH_TOKENS": ("batch_tokens", int, _NUMBER),
    "LONGEST_STEP_MS": ("longest_step_ms", float, "milliseconds"),
    "COMFORTABLE_GAP_MS": ("comfortable_gap_ms", float, "milliseconds"),
    "GAP_STRETCH": ("gap_stretch", float, "a number, such as 2.6"),
    "GPU_LAYERS": ("gpu_layers", int, _NUMBER),
    "MAIN_GPU": ("main_gpu", int, _NUMBER),
    "TENSOR_SPLIT": ("tensor_split", _shares, "numbers with commas between them, such as 3,1"),
    "SPLIT_MODE": ("split_mode", str.lower, _TEXT),
    "EXTRA_BUFFERS": ("extra_buffers", _switch, "true or false"),
    "FLASH_ATTENTION": ("flash_attention", str.lower, _TEXT),
    "KEY_CACHE_TYPE": ("key_cache_type", str.lower, _TEXT),
    "VALUE_CACHE_TYPE": ("value_cache_type", str.lower, _TEXT),
    "LAYOUT": ("layout", str.lower, _TEXT),
    "FULL_WINDOW_CACHE": ("full_window_cache", _switch, "true or false"),
    "LORAS": ("loras", _loras, "files, such as style.gguf=0.5;other.gguf"),
    "MEMORY_CACHE_MB": ("memory_cache_bytes", _mebibytes_or_auto, _NUMBER),
    "DISK_CACHE_MB": ("disk_cache_bytes", _mebibytes, _NUMBER),
    "DISK_CACHE_DIR": ("disk_cache_directory", _path, "a folder"),
}
"""Variable (without its prefix): the option, how it is read, and what it must look like."""
