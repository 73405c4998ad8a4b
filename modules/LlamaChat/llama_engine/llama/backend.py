"""llama.cpp's library as a whole: what it was built for, and its start."""

from __future__ import annotations

import functools

import llama_cpp


@functools.cache
def start_backend() -> None:
    """What llama.cpp wants called once in a process, before anything else."""
    llama_cpp.llama_backend_init()


def has_gpu(is_wanted: bool) -> bool:
    """Whether llama.cpp was built for an accelerator, and it is wanted."""
    return is_wanted and bool(llama_cpp.llama_supports_gpu_offload())


def library_version() -> bytes:
    """Of llama.cpp itself."""
    return bytes(llama_cpp.llama_version())
