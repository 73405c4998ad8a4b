"""The accelerators that llama.cpp sees, and what each has free.

Invariant: nothing here raises: where the library cannot be asked there are no accelerators. The
numbers are ggml's own (`ggml_backend_dev_memory`), which llama-cpp-python does not bind.

It does without importing llama-cpp-python, which takes a second that a list of models has no use
for.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

_GPU, _INTEGRATED = 1, 2
"""ggml's `enum ggml_backend_dev_type`; llama.cpp takes integrated ones where there is no other."""
_SILENT = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)


@dataclass(frozen=True)
class Device:
    """An accelerator."""

    name: str
    """As llama.cpp calls it: `CUDA0`."""
    free_bytes: int
    total_bytes: int
    """0 where the driver does not say."""
    shares_memory: bool = False
    """Whether its memory is the machine's own."""


def accelerators() -> list[Device]:
    """Those that llama.cpp would use, in its order."""
    try:
        return _read(*_libraries())
    except (OSError, AttributeError, ImportError, ValueError) as ex:
        logger.debug("ggml cannot be asked for devices: %s", ex)
        return []


def _libraries() -> tuple[ctypes.CDLL, ctypes.CDLL]:
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        raise ImportError("llama-cpp-python is not installed")
    folder = Path(spec.origin).parent / "lib"
    pattern = {"win32": "{}.dll", "darwin": "lib{}.dylib"}.get(sys.platform, "lib{}.so")
    base, registry = (ctypes.CDLL(str(folder / pattern.format(n))) for n in ("ggml-base", "ggml"))
    if "llama_cpp" not in sys.modules:  # drivers greet on stderr, and nobody has a log for it yet
        base.ggml_log_set(_SILENT, None)
    return base, registry


def _read(base: Any, registry: Any) -> list[Device]:
    count = _function(registry, "ggml_backend_dev_count", ctypes.c_size_t)
    get = _function(registry, "ggml_backend_dev_get", ctypes.c_void_p, ctypes.c_size_t)
    kind_of = _function(base, "ggml_backend_dev_type", ctypes.c_int, ctypes.c_void_p)
    handles = [(get(at), kind_of(get(at))) for at in range(count())]
    wanted = _GPU if any(kind == _GPU for _, kind in handles) else _INTEGRATED
    return [_device(base, handle, kind) for handle, kind in handles if kind == wanted]


def _device(base: Any, handle: int, kind: int) -> Device:
    sizes = ctypes.POINTER(ctypes.c_size_t)
    name = _function(base, "ggml_backend_dev_name", ctypes.c_char_p, ctypes.c_void_p)
    memory = _function(base, "ggml_backend_dev_memory", None, ctypes.c_void_p, sizes, sizes)
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    memory(handle, ctypes.byref(free), ctypes.byref(total))
    shares = kind == _INTEGRATED or sys.platform == "darwin"
    return Device(_text(name(handle)), free.value, total.value, shares)


def _function(library: Any, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    function: Callable[..., Any] = library[name]
    function.restype, function.argtypes = result, list(arguments)  # type: ignore[attr-defined]
    return function


def _text(raw: bytes | None) -> str:
    return (raw or b"").decode("utf-8", errors="replace")
