"""Which build of llama-cpp-python suits this machine, and where to get it.

Invariant: whatever cannot be found out means the CPU build, which runs everywhere.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

LLAMA_CPP_PYTHON = "llama-cpp-python==0.3.36"
WHEEL_INDEX = "https://abetlen.github.io/llama-cpp-python/whl"
"""Where the project publishes its prebuilt wheels, one folder for each kind of build."""
REACH_TIMEOUT_S = 5.0
PROBE_TIMEOUT_S = 10.0
BUILD_CORE_MINUTES = 6
"""What compiling for a CPU takes, in minutes on one core; a GPU build takes several times that."""

_CUDA_WHEELS = ((13, 2), (13, 0), (12, 5), (12, 4), (12, 3), (12, 2), (12, 1), (11, 8))
"""CUDA versions that wheels are built for. A driver runs those of its own version and below."""
_LEAST_CAPABILITY = {13: (7, 5), 12: (5, 0), 11: (5, 0)}
"""CUDA's major version: the oldest cards (by compute capability) that its builds have kernels for.
CUDA 13 ended support for Maxwell, Pascal and Volta."""

Run = Callable[[list[str]], str | None]
"""Runs a program; its output, or None where it is missing, fails or hangs."""


@dataclass(frozen=True)
class Build:
    """A kind of build: how it is called, its wheels' folder, and what compiling it takes."""

    backend: str
    wheels: str
    cmake_args: str = ""
    tools: tuple[str, ...] = ()
    """Programs that compiling needs besides a C++ compiler."""
    why: str = ""

    @property
    def index_url(self) -> str:
        return f"{WHEEL_INDEX}/{self.wheels}"


CPU = Build("cpu", "cpu", why="no supported GPU was found")
METAL = Build("metal", "metal", "-DGGML_METAL=on", why="Apple silicon")
ROCM = Build("rocm", "rocm72", "-DGGML_HIP=on", ("hipcc",), "an AMD GPU with ROCm")
VULKAN = Build("vulkan", "vulkan", "-DGGML_VULKAN=on", ("glslc",), "a GPU with Vulkan")
_ON_REQUEST = {"cpu": CPU, "metal": METAL, "rocm": ROCM, "vulkan": VULKAN}
BACKENDS = ("auto", "cpu", "cuda", "metal", "rocm", "vulkan")


def run_program(command: list[str]) -> str | None:
    """The output of a program that answers in time (see Run)."""
    path = shutil.which(command[0])
    if path is None:
        return None
    try:
        result = subprocess.run(  # noqa: S603 - fixed programs, no shell
            [path, *command[1:]], capture_output=True, timeout=PROBE_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.decode("utf-8", errors="replace") if result.returncode == 0 else None


def choose_build(backend: str = "auto", run: Run = run_program) -> Build:
    """The build for this machine, or the one that was asked for.

    Raises ValueError where CUDA was asked for and no driver says which.
    """
    if backend in _ON_REQUEST:
        return _ON_REQUEST[backend]
    if backend == "cuda":
        build = _cuda(run)
        if build is None or build.backend != "cuda":
            found = "nothing" if build is None else build.why
            raise ValueError(
                "CUDA was asked for: expected nvidia-smi to name CUDA 11.8 or newer and a card of "
                f"compute capability 5.0 or newer, got: {found}. Install the NVIDIA driver, or "
                "choose another --backend"
            )
        return build
    if platform.system() == "Darwin":
        return METAL if platform.machine() == "arm64" else CPU
    return _cuda(run) or _rocm(run) or _vulkan(run) or CPU


def cuda_version(run: Run) -> tuple[int, int] | None:
    """The newest CUDA that the driver runs, from nvidia-smi's heading."""
    found = re.search(r"CUDA Version:\s*(\d+)\.(\d+)", run(["nvidia-smi"]) or "")
    return (int(found[1]), int(found[2])) if found else None


def compute_capability(run: Run) -> tuple[int, int] | None:
    """That of the oldest card, from nvidia-smi; None where it does not tell."""
    said = run(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]) or ""
    found = re.findall(r"^\s*(\d+)\.(\d+)\s*$", said, re.MULTILINE)
    return min(((int(major), int(minor)) for major, minor in found), default=None)


def _cuda(run: Run) -> Build | None:
    version = cuda_version(run)
    if version is None:
        return None
    capability = compute_capability(run)
    for major, minor in _CUDA_WHEELS:
        is_for_card = capability is None or capability >= _LEAST_CAPABILITY[major]
        if version >= (major, minor) and is_for_card:
            return Build(
                "cuda",
                f"cu{major}{minor}",
                "-DGGML_CUDA=on",
                ("nvcc",),
                _cuda_why(version, capability),
            )
    if capability is not None and capability < min(_LEAST_CAPABILITY.values()):
        old = f"{capability[0]}.{capability[1]}"
        return Build("cpu", "cpu", why=f"the NVIDIA GPU's compute capability {old} is too old")
    return Build("cpu", "cpu", why=f"the driver's CUDA {version[0]}.{version[1]} is too old")


def _cuda_why(version: tuple[int, int], capability: tuple[int, int] | None) -> str:
    card = f" of compute capability {capability[0]}.{capability[1]}" if capability else ""
    return f"an NVIDIA GPU{card} whose driver runs CUDA {version[0]}.{version[1]}"


def _rocm(run: Run) -> Build | None:
    return ROCM if "gfx" in (run(["rocminfo"]) or "") else None


def _vulkan(run: Run) -> Build | None:
    summary = run(["vulkaninfo", "--summary"]) or ""
    return VULKAN if re.search(r"PHYSICAL_DEVICE_TYPE_(DISCRETE|INTEGRATED)_GPU", summary) else None


def is_reachable(url: str, timeout_s: float = REACH_TIMEOUT_S) -> bool:
    """Whether something answers at that address in time."""
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - a fixed https address
    try:
        with urllib.request.urlopen(request, timeout=timeout_s):  # noqa: S310
            return True
    except (urllib.error.URLError, OSError, ValueError):
        return False


def missing_tools(build: Build, which: Callable[[str], str | None] = shutil.which) -> list[str]:
    """What compiling needs and this machine does not have, in words for people."""
    missing = []
    if platform.system() != "Windows" and not any(map(which, ("c++", "g++", "clang++"))):
        missing.append("a C++ compiler")
    return missing + [tool for tool in build.tools if which(tool) is None]


def remedy_for_compiler() -> str:
    """How to get a compiler here."""
    return {
        "Darwin": "run: xcode-select --install",
        "Windows": "install the Visual Studio Build Tools with the C++ workload",
    }.get(platform.system(), "install it, for example: sudo apt install build-essential")


def build_minutes(cores: int) -> int:
    """How long compiling for a CPU takes, about."""
    return max(1, -(-BUILD_CORE_MINUTES // max(1, cores)))
