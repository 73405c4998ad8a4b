"""The engine's options, from the module's settings (its environment variables).

Invariant: a value that cannot be used is an error that names the variable, what was expected and
what came; a variable that is not set, or blank, leaves the engine's own default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llama_engine.options import EngineOptions

PREFIX = "CPAI_MODULE_LLAMA_"
DISK_CACHE_DIRECTORY = "prefix_cache"
_MIB = 1024**2


class SettingError(ValueError):
    """A setting that cannot be used."""

    def __init__(self, name: str, expected: str, got: str) -> None:
        super().__init__(f"{name}: expected {expected}, got '{got}'")


def engine_options(environment: Mapping[str, str], module_path: Path) -> EngineOptions:
    """Read what is set. Raises SettingError, or ParameterError for a value out of its range."""
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
        fields["disk_cache_directory"] = module_path / DISK_CACHE_DIRECTORY
    options = EngineOptions(**fields)
    options.check()
    return options


def _mebibytes(text: str) -> int:
    return int(text) * _MIB


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
    "COMFORTABLE_GAP_MS": ("comfortable_gap_ms", float, "milliseconds"),
    "GPU_LAYERS": ("gpu_layers", int, _NUMBER),
    "MAIN_GPU": ("main_gpu", int, _NUMBER),
    "TENSOR_SPLIT": ("tensor_split", _shares, "numbers with commas between them, such as 3,1"),
    "SPLIT_MODE": ("split_mode", str.lower, _TEXT),
    "EXTRA_BUFFERS": ("extra_buffers", _switch, "true or false"),
    "FLASH_ATTENTION": ("flash_attention", str.lower, _TEXT),
    "KEY_CACHE_TYPE": ("key_cache_type", str.lower, _TEXT),
    "VALUE_CACHE_TYPE": ("value_cache_type", str.lower, _TEXT),
    "LAYOUT": ("layout", str.lower, _TEXT),
    "LORAS": ("loras", _loras, "files, such as style.gguf=0.5;other.gguf"),
    "DISK_CACHE_MB": ("disk_cache_bytes", _mebibytes, _NUMBER),
}
"""Variable (without its prefix): the option, how it is read, and what it must look like."""
