"""The GPU: is there one, does its driver answer, and can this build of llama.cpp use it?"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llama_setup.install_again import install_again

from diagnosis.finding import Finding, bad, good
from diagnosis.library import Library

ASK_LIMIT_S = 20.0
LEAST_FREE_MB = 1024
"""What llama.cpp leaves of a card for others; with less than that free it has nothing."""
CUDA_13_CAPABILITY = (7, 5)
"""Builds for CUDA 13 have no code for older cards."""

_QUERY = "name,driver_version,memory.total,memory.free,compute_cap"
_NVIDIA, _DISPLAY = "0x10de", "0x03"
_WITHOUT = "or set EnableGPU of GpuOptions to false, to do without"


@dataclass(frozen=True)
class Card:
    """A card as its driver describes it."""

    name: str
    driver: str
    total_mb: int
    free_mb: int
    capability: tuple[int, int]

    def __str__(self) -> str:
        capability = ".".join(map(str, self.capability))
        memory = f"{self.free_mb / 1024:.1f} GiB free of {self.total_mb / 1024:.1f}"
        return f"{self.name}, driver {self.driver}, compute capability {capability}, {memory}"


@dataclass(frozen=True)
class Driver:
    """What NVIDIA's driver answers; `problem` is empty where it does, or is not there at all."""

    cards: tuple[Card, ...] = ()
    problem: str = ""


def ask_driver() -> Driver:
    """The cards that nvidia-smi lists."""
    command = ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program
            command, capture_output=True, text=True, timeout=ASK_LIMIT_S, check=False
        )
    except FileNotFoundError:
        return Driver()
    except (OSError, subprocess.TimeoutExpired) as error:
        return Driver(problem=f"nvidia-smi: {error}")
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        return Driver(problem=f"nvidia-smi: {said[0] if said else f'exit {done.returncode}'}")
    try:
        return Driver(tuple(_card(line) for line in done.stdout.splitlines() if line.strip()))
    except ValueError:
        return Driver(problem=f"nvidia-smi says what is not understood: {done.stdout.strip()!r}")


def _card(line: str) -> Card:
    name, driver, total, free, capability = (part.strip() for part in line.split(","))
    major, _, minor = capability.partition(".")
    return Card(name, driver, int(total), int(free), (int(major), int(minor)))


def check_gpu(
    driver: Driver,
    library: Library,
    wheel: str,
    environment: Mapping[str, str],
    devices: Path = Path("/sys/bus/pci/devices"),
) -> Finding:
    """`wheel` is what the installed one was built for, such as `cu130`."""
    if environment.get("CPAI_MODULE_ENABLE_GPU", "true").lower() == "false":
        return good("gpu", "not used: EnableGPU is off in the settings")
    if driver.problem:
        remedy = f"install NVIDIA's driver anew and start the machine again, {_WITHOUT}"
        return bad("gpu", driver.problem, remedy)
    if driver.cards:
        is_running = environment.get("CPAI_MODULE_IS_RUNNING") == "true"
        return _check_cards(driver.cards, library, wheel, is_running)
    if library.has_gpu:
        return good("gpu", "whatever llama.cpp finds: no card of NVIDIA's")
    if _has_nvidia_card(devices):
        return bad(
            "gpu",
            "a card of NVIDIA's is in this machine, and no driver answers for it (nvidia-smi)",
            f"install NVIDIA's driver. {install_again()}, {_WITHOUT}",
        )
    return good("gpu", "none found: models run on the processor")


def _check_cards(
    cards: tuple[Card, ...], library: Library, wheel: str, is_running: bool
) -> Finding:
    text = "; ".join(map(str, cards))
    if library.loads and not library.has_gpu:
        remedy = f"{install_again()} with --backend cuda, {_WITHOUT}"
        return bad("gpu", f"{text}; llama.cpp is built without CUDA", remedy)
    old = [card.name for card in cards if card.capability < CUDA_13_CAPABILITY]
    if wheel.startswith("cu13") and old:
        text = f"{text}; the build for CUDA 13 has no code for {', '.join(old)}"
        return bad("gpu", text, f"{install_again()}: it takes a build for CUDA 12")
    if not is_running and all(card.free_mb < LEAST_FREE_MB for card in cards):
        return bad("gpu", text, "end the programs that hold its memory: nvidia-smi lists them")
    return good("gpu", text)


def _has_nvidia_card(devices: Path) -> bool:
    for vendor in devices.glob("*/vendor"):
        try:
            kind = (vendor.parent / "class").read_text()
            if vendor.read_text().strip() == _NVIDIA and kind.startswith(_DISPLAY):
                return True
        except OSError:
            continue
    return False
