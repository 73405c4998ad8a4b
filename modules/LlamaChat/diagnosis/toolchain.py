"""What llama.cpp is compiled with and runs on: Python, a compiler, the processor."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable

from llama_setup import builds
from llama_setup.processor import Processor

from diagnosis.finding import Finding, bad, good

OLDEST_PYTHON = (3, 10)
_COMPILERS = ("c++", "g++", "clang++")
_NOTED_FEATURES = ("avx2", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "asimddp", "sve")
"""What llama.cpp's kernels gain from, as /proc/cpuinfo spells it."""


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    text = f"{'.'.join(map(str, version))}, {sys.executable}"
    if version < OLDEST_PYTHON:
        return bad("python", text, "install Python 3.10 or newer, then install this again")
    return good("python", text)


def check_compiler(
    is_needed: bool,
    run: builds.Run = builds.run_program,
    which: Callable[[str], str | None] = shutil.which,
) -> Finding:
    """A compiler matters only as long as there is no llama.cpp that loads."""
    found = next((name for name in _COMPILERS if which(name)), None)
    if found:
        lines = (run([found, "--version"]) or found).splitlines()
        return good("compiler", lines[0])
    if platform.system() == "Windows":
        return good("compiler", "CMake finds that of Visual Studio, if one is needed")
    if not is_needed:
        return good("compiler", "none, and none is needed: llama.cpp is installed")
    text = "none found (looked for c++, g++, clang++), and llama.cpp has to be built"
    return bad("compiler", text, builds.remedy_for_compiler())


def check_processor(processor: Processor) -> Finding:
    """Which it is, and what of it llama.cpp can use."""
    features = " ".join(one for one in _NOTED_FEATURES if one in processor.features)
    cores = f"{os.cpu_count()} logical cores"
    return good("processor", ", ".join(filter(None, [str(processor), cores, features])))
