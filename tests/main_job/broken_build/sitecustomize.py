"""On PYTHONPATH this makes the module's llama.cpp a broken build: its first decode with extra
buffers dies, or hangs, in the way that the file BROKEN_BUILD names. Without the file it is whole.
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
    os.kill(os.getpid(), getattr(signal, how))


def break_build(how: str) -> None:
    import llama_cpp

    load, decode = llama_cpp.llama_model_load_from_file, llama_cpp.llama_decode
    is_broken = False

    def load_and_look(path: bytes, params: Any) -> Any:
        nonlocal is_broken
        is_broken = bool(params.use_extra_bufts)
        return load(path, params)

    def decode_or_die(context: Any, batch: Any) -> Any:
        if is_broken:
            fails(how)
        return decode(context, batch)

    llama_cpp.llama_model_load_from_file = load_and_look
    llama_cpp.llama_decode = decode_or_die


_FILE = Path(os.environ.get("BROKEN_BUILD", ""))
if os.environ.get("CPAI_MODULE_ID") == "LlamaChat" and _FILE.is_file():
    break_build(_FILE.read_text(encoding="utf-8"))
