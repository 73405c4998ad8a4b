"""llama.cpp's log: passed on to Python's logging, and kept while a model loads.

Invariant: one callback for the whole process, as llama.cpp has one; the callback never raises.
"""

from __future__ import annotations

import ctypes
import logging
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import llama_cpp

logger = logging.getLogger("llama.cpp")

_ACCELERATORS = {
    "CUDA": "CUDA", "ROCm": "ROCm", "HIP": "ROCm", "Vulkan": "Vulkan", "Metal": "Metal",
    "MTL": "Metal", "SYCL": "SYCL", "OpenCL": "OpenCL", "MUSA": "MUSA", "CANN": "CANN",
}  # fmt: skip
"""How llama.cpp names the buffers of a device, and what users call its library."""

_ERROR = 4
_LEVELS = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.WARNING, _ERROR: logging.ERROR}
"""ggml's levels. Its information is a user's debugging: hundreds of lines for one load."""
_KEPT_LINES = 2_000
_BUFFER = re.compile(r"load_tensors:\s+(\S+) model buffer size")

_install_lock = threading.Lock()
_callback: Any = None
"""The installed callback: llama.cpp keeps only its address, so it must not be collected."""
_listeners: list[LoadLog] = []


class LoadLog:
    """What llama.cpp said while a model was loaded."""

    def __init__(self) -> None:
        self._lines: deque[tuple[int, str]] = deque(maxlen=_KEPT_LINES)

    def add(self, level: int, text: str) -> None:
        self._lines.append((level, text))

    def clear(self) -> None:
        """Before another try: what was said of the last one is no longer true."""
        self._lines.clear()

    @property
    def errors(self) -> list[str]:
        return [text for level, text in self._lines if level == _ERROR]

    @property
    def buffers(self) -> list[str]:
        """Names of the devices that hold weights, such as `CUDA0` or `CPU_Mapped`."""
        found = (_BUFFER.search(text) for _, text in self._lines)
        return [match.group(1) for match in found if match]


@contextmanager
def load_log() -> Iterator[LoadLog]:
    """Listen to llama.cpp for the time of a load."""
    _install()
    log = LoadLog()
    _listeners.append(log)
    try:
        yield log
    finally:
        _listeners.remove(log)


def _install() -> None:
    global _callback
    with _install_lock:
        if _callback is None:
            _callback = llama_cpp.llama_log_callback(_on_log)
        # Set again each time: llama-cpp-python sets its own when it is imported.
        llama_cpp.llama_log_set(_callback, ctypes.c_void_p(0))


def _on_log(level: int, text: bytes, _user_data: object) -> None:
    line = text.decode("utf-8", errors="replace").rstrip("\n")
    for listener in list(_listeners):
        listener.add(level, line)
    if line.strip(". "):
        logger.log(_LEVELS.get(level, logging.DEBUG), "%s", line)


def device_of(buffers: Iterable[str]) -> tuple[str, str]:
    """(`GPU`|`CPU`, library) by the names of the buffers that hold weights."""
    for buffer in buffers:
        name = re.split(r"[\d_]", buffer, maxsplit=1)[0]
        if name in _ACCELERATORS and not buffer.endswith("_Host"):
            return "GPU", _ACCELERATORS[name]
    return "CPU", ""
