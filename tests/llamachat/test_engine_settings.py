"""Every option of the engine can be set by a variable, and a bad value is told by its name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import platformdirs
import pytest
from engine_settings import DATA_DIR, PREFIX, SettingError, engine_options
from llama_engine.options import EngineOptions

INTERNAL = {"sequences"}
"""Set by the host (CPAI_MODULE_PARALLELISM), which gives the module as many commands."""
SET = {
    "CONTEXT_TOKENS": ("1024", "context_tokens", 1024),
    "TOTAL_TOKENS": ("4096", "total_tokens", 4096),
    "THREADS": ("3", "threads", 3),
    "BATCH_THREADS": ("4", "batch_threads", 4),
    "BATCH_TOKENS": ("256", "batch_tokens", 256),
    "LONGEST_STEP_MS": ("300", "longest_step_ms", 300.0),
    "COMFORTABLE_GAP_MS": ("80", "comfortable_gap_ms", 80.0),
    "GAP_STRETCH": ("1.5", "gap_stretch", 1.5),
    "GPU_LAYERS": ("7", "gpu_layers", 7),
    "MAIN_GPU": ("1", "main_gpu", 1),
    "TENSOR_SPLIT": ("3,1", "tensor_split", (3.0, 1.0)),
    "SPLIT_MODE": ("ROW", "split_mode", "row"),
    "FLASH_ATTENTION": ("on", "flash_attention", "on"),
    "KEY_CACHE_TYPE": ("q8_0", "key_cache_type", "q8_0"),
    "VALUE_CACHE_TYPE": ("q4_0", "value_cache_type", "q4_0"),
    "LAYOUT": ("shared", "layout", "shared"),
    "FULL_WINDOW_CACHE": ("false", "full_window_cache", False),
    "EXTRA_BUFFERS": ("off", "extra_buffers", False),
    "LORAS": ("a.gguf=0.5;b.gguf", "loras", ((Path("a.gguf"), 0.5), (Path("b.gguf"), 1.0))),
    "MEMORY_CACHE_MB": ("5", "memory_cache_bytes", 5 * 1024**2),
    "DISK_CACHE_MB": ("6", "disk_cache_bytes", 6 * 1024**2),
    "DISK_CACHE_DIR": ("kept", "disk_cache_directory", Path("/module/kept")),
}
HERE = Path("/module")


def test_every_option_can_be_set() -> None:
    options = engine_options({PREFIX + name: text for name, (text, _, _) in SET.items()}, HERE)
    for _, field, value in SET.values():
        assert getattr(options, field) == value, field
    fields = {field.name for field in dataclasses.fields(EngineOptions)}
    assert {field for _, field, _ in SET.values()} == fields - INTERNAL


def test_every_variable_is_described(module_path: Path) -> None:
    text = (module_path / "modulesettings.json").read_text()
    assert [name for name in SET if f"_{name}" not in text] == []


def test_nothing_set_is_the_default() -> None:
    assert engine_options({PREFIX + "THREADS": " "}, HERE) == EngineOptions()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("THREADS", "many", "expected a whole number, got 'many'"),
        ("THREADS", "1000", "expected 0 to 512, got '1000'"),
        ("FULL_WINDOW_CACHE", "maybe", "expected true or false, got 'maybe'"),
        ("COMFORTABLE_GAP_MS", "500", "expected 0 to 240, got '500.0'"),
        ("DISK_CACHE_MB", str(2**40), "expected 0 to 281474976710656, got '1152921504606846976'"),
        ("LAYOUT", "round", "expected one of auto, streams, shared, got 'round'"),
    ],
)
def test_a_bad_value_names_its_variable(name: str, text: str, message: str) -> None:
    with pytest.raises(SettingError) as error:
        engine_options({PREFIX + name: text}, HERE)
    assert str(error.value) == f"{PREFIX}{name}: {message}"


def test_the_disk_cache_lies_outside_the_code() -> None:
    asked = {PREFIX + "DISK_CACHE_MB": "10"}
    beside = engine_options({**asked, DATA_DIR: "/var/lib/llamachat"}, HERE)
    assert beside.disk_cache_directory == Path("/var/lib/llamachat/llama_prefix_cache")
    alone = engine_options(asked, HERE)
    cache = platformdirs.user_cache_path("llamachat", appauthor=False)
    assert alone.disk_cache_directory == cache / "llama_prefix_cache"
    assert engine_options({}, HERE).disk_cache_directory is None
