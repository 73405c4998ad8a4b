"""How an engine is set up: plain values, checked before anything is loaded.

Invariant: an `EngineOptions` that `check()` lets pass asks for nothing that llama.cpp answers with
the end of the process.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llama_engine.errors import ParameterError

Layout = Literal["auto", "streams", "shared"]
MOST_SEQUENCES = 64
"""llama.cpp's own limit is higher; a step of more sequences serves nobody who reads."""

CACHE_TYPES: dict[str, tuple[int, float]] = {
    "f32": (0, 4.0),
    "f16": (1, 2.0),
    "bf16": (30, 2.0),
    "q8_0": (8, 34 / 32),
    "q5_1": (7, 24 / 32),
    "q5_0": (6, 22 / 32),
    "q4_1": (3, 20 / 32),
    "q4_0": (2, 18 / 32),
    "iq4_nl": (20, 18 / 32),
}
"""Name of a KV cache type: ggml's number for it, and bytes a value."""
SPLIT_MODES = {"none": 0, "layer": 1, "row": 2}
FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}


@dataclass(frozen=True)
class EngineOptions:
    """The engine's settings. Times are milliseconds, sizes tokens or bytes.

    `sequences` 0 chooses by device. `context_tokens` is what one sequence may hold, 0 the model's
    own; `total_tokens` what all of them together may, 0 as much as is free. `layout` says where
    their KV cells lie (see `limits`). A step takes at most `longest_step_ms`. Beside
    replies, a long prompt is evaluated in steps of `comfortable_gap_ms`, so many of them that the
    gaps between a reply's tokens are `gap_stretch` times as long on average.

    `full_window_cache` keeps what a sliding window has passed, so that prefixes can be cut
    anywhere, for more memory. `extra_buffers` lets llama.cpp repack weights for its fastest CPU
    kernels. With `gpu_layers` 0 no GPU is used at all. `memory_cache_bytes` -1 is a tenth of what
    is free, 2 GiB at most; without a `disk_cache_directory` nothing is kept on disk.
    """

    sequences: int = 0
    context_tokens: int = 0
    total_tokens: int = 0
    layout: Layout = "auto"
    batch_tokens: int = 512
    longest_step_ms: float = 240.0
    comfortable_gap_ms: float = 150.0
    gap_stretch: float = 2.6
    threads: int = 0
    batch_threads: int = 0
    gpu_layers: int = -1
    main_gpu: int = 0
    tensor_split: tuple[float, ...] = ()
    split_mode: str = "layer"
    extra_buffers: bool = True
    flash_attention: str = "auto"
    key_cache_type: str = "f16"
    value_cache_type: str = "f16"
    full_window_cache: bool = True
    loras: tuple[tuple[Path, float], ...] = ()
    memory_cache_bytes: int = -1
    disk_cache_directory: Path | None = None
    disk_cache_bytes: int = 2 * 1024**3

    def check(self) -> None:
        """Raise ParameterError, naming the first option out of its range."""
        within("sequences", self.sequences, 0, MOST_SEQUENCES)
        within("context_tokens", self.context_tokens, 0, 16 * 1024**2)
        within("total_tokens", self.total_tokens, 0, 64 * 1024**2)
        within("batch_tokens", self.batch_tokens, 32, 8192)
        within("longest_step_ms", self.longest_step_ms, 5, 60_000)
        within("comfortable_gap_ms", self.comfortable_gap_ms, 0, self.longest_step_ms)
        within("gap_stretch", self.gap_stretch, 1, 1000)
        within("threads", self.threads, 0, 512)
        within("batch_threads", self.batch_threads, 0, 512)
        within("gpu_layers", self.gpu_layers, -1, 100_000)
        within("main_gpu", self.main_gpu, 0, 64)
        within("memory_cache_bytes", self.memory_cache_bytes, -1, 2**48)
        within("disk_cache_bytes", self.disk_cache_bytes, 0, 2**48)
        one_of("layout", self.layout, ("auto", "streams", "shared"))
        one_of("split_mode", self.split_mode, SPLIT_MODES)
        one_of("flash_attention", self.flash_attention, FLASH_ATTENTION)
        one_of("key_cache_type", self.key_cache_type, CACHE_TYPES)
        one_of("value_cache_type", self.value_cache_type, CACHE_TYPES)
        self._check_combinations()

    def _check_combinations(self) -> None:
        packed = CACHE_TYPES[self.value_cache_type][1] < 2
        if packed and self.flash_attention == "off":
            raise ParameterError(
                "value_cache_type",
                "f32, f16 or bf16 without flash attention",
                self.value_cache_type,
            )
        for share in self.tensor_split:
            within("tensor_split", share, 0, 1_000_000)


def within(name: str, value: float, least: float, most: float) -> None:
    """Raise ParameterError unless `least <= value <= most`; NaN is outside of every range."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ParameterError(name, f"a number from {_plain(least)} to {_plain(most)}", value)
    if not least <= value <= most:
        raise ParameterError(name, f"{_plain(least)} to {_plain(most)}", value)


def _plain(bound: float) -> str:
    """A bound with all its digits."""
    return str(int(bound)) if float(bound).is_integer() else str(bound)


def one_of(name: str, value: object, allowed: Iterable[str]) -> None:
    """Raise ParameterError unless `value` is one of these names."""
    names = list(allowed)
    if value not in names:
        raise ParameterError(name, "one of " + ", ".join(names), value)
