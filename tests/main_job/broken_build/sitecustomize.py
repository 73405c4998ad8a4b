"""On PYTHONPATH this makes the module's llama.cpp a broken build: a decode with extra buffers fails
in the way that the file BROKEN_BUILD names. Without the file it is whole.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from pathlib import Path
from typing import Any


def fails(how: str) -> None:
    """SIGSEGV comes from a real access to address 0, as from native code."""
    if how == "hang":
        threading.Event().wait()
    if how == "SIGSEGV":
        ctypes.string_at(0)
    if how == "end of the thread":
        FILE.unlink()
        raise SystemExit
    os.kill(os.getpid(), getattr(signal, how))


def break_build() -> None:
    import llama_cpp

    load, decode = llama_cpp.llama_model_load_from_file, llama_cpp.llama_decode
    has_extra_buffers = False

    def load_and_look(path: bytes, params: Any) -> Any:
        nonlocal has_extra_buffers
        has_extra_buffers = bool(params.use_extra_bufts)
        return load(path, params)

    def decode_or_fail(context: Any, batch: Any) -> Any:
        if has_extra_buffers and FILE.exists():
            fails(FILE.read_text(encoding="utf-8"))
        return decode(context, batch)

    llama_cpp.llama_model_load_from_file = load_and_look
    llama_cpp.llama_decode = decode_or_fail


FILE = Path(os.environ.get("BROKEN_BUILD", ""))
if os.environ.get("CPAI_MODULE_ID") == "LlamaChat":
    break_build()
