"""What machine this is, under the names published in the field.

Invariant: cheap facts are attributes; whatever asks a driver or imports a library is a property.
"""

from __future__ import annotations

import importlib
import platform
import re
import shutil
import subprocess
from typing import Any

OS_NAMES = {"Darwin": "macOS"}
CUDA_VERSION = re.compile(r"(?:CUDA Version:|release)\s*(\d+)\.(\d+)")
QUERY_TIMEOUT_S = 10


class SystemInfo:
    """`os` is Linux, macOS or Windows; `cpu_arch` as the system names it (x86_64, arm64, ...)."""

    def __init__(self) -> None:
        self.os = OS_NAMES.get(platform.system(), platform.system())
        self.system = self.os
        self.in_WSL = self.os == "Linux" and "microsoft-standard-WSL" in platform.release()
        self.cpu_arch = platform.machine()
        self.cpu_brand = platform.processor()
        self.cpu_vendor = "Apple" if self.os == "macOS" and self.cpu_arch == "arm64" else ""

    @property
    def osVersion(self) -> str:
        return platform.mac_ver()[0] if self.os == "macOS" else platform.release()

    @property
    def getCudaVersion(self) -> tuple[int, int] | tuple[None, None]:
        """CUDA's version from the toolkit or the driver; (None, None) where there is neither."""
        for program, arguments in (("nvcc", ["--version"]), ("nvidia-smi", [])):
            match = CUDA_VERSION.search(_output_of(program, arguments))
            if match:
                return int(match[1]), int(match[2])
        return None, None

    @property
    def hasNvidiaGPU(self) -> bool:
        return self.getCudaVersion != (None, None)

    @property
    def hasTorchCuda(self) -> bool:
        torch = _torch()
        return torch is not None and bool(torch.cuda.is_available())

    @property
    def hasTorchMPS(self) -> bool:
        torch = _torch()
        return torch is not None and bool(torch.backends.mps.is_available())


def _torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError:
        return None


def _output_of(program: str, arguments: list[str]) -> str:
    path = shutil.which(program)
    if path is None:
        return ""
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program found on the PATH, no user input
            [path, *arguments], capture_output=True, text=True, timeout=QUERY_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout
