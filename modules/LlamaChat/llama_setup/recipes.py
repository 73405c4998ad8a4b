"""How llama.cpp can be compiled for a processor, best first.

Invariant: each recipe gives up more than the one before it, and says what; the last one runs on
every processor of the architecture that llama.cpp supports at all.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from llama_setup.amx import HEADER, Amx
from llama_setup.processor import Processor

USER_VARIABLES = ("CMAKE_ARGS", "CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "CMAKE_GENERATOR")
"""The user's own wishes for a build; they join every recipe and win over it."""
_WITHOUT_COMMON = Path(__file__).with_name("without_common.cmake")
_NO_AMX = ("-mno-amx-tile", "-mno-amx-int8", "-mno-amx-bf16")
_FEATURES = ("SSE42", "AVX", "AVX2", "BMI2", "F16C", "FMA")


@dataclass(frozen=True)
class Recipe:
    """Arguments for CMake and the compilers."""

    name: str
    title: str
    """What is compiled, for people."""
    cost: str = ""
    """What it gives up beside the first one."""
    cmake: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    """For C and C++."""
    cxx_flags: tuple[str, ...] = ()

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The variables of a build: ours, and the user's after them."""
        c_flags = [*self.flags, base.get("CFLAGS", "")]
        cxx_flags = [*self.flags, *self.cxx_flags, base.get("CXXFLAGS", "")]
        cmake = [*self.cmake, base.get("CMAKE_ARGS", "")]
        joined = {"CMAKE_ARGS": cmake, "CFLAGS": c_flags, "CXXFLAGS": cxx_flags}
        return {**base, **{name: " ".join(filter(None, parts)) for name, parts in joined.items()}}

    def key(self, base: Mapping[str, str], *surroundings: str) -> str:
        """Twelve letters and digits for what comes out: flags, the user's wishes, and
        `surroundings` such as the processor and the compiler."""
        environment = self.environment(base)
        parts = [f"{name}={environment.get(name, '')}" for name in USER_VARIABLES]
        if HEADER.name in environment["CXXFLAGS"]:
            parts.append(HEADER.read_text(encoding="utf-8"))
        text = "\n".join([*parts, *surroundings])
        text = text.replace(str(HEADER.parent), "")  # another checkout builds the same
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def all_flags(self) -> str:
        """For people: what was given to CMake and the compilers."""
        places = (*self.cmake, *self.flags, *self.cxx_flags)
        return " ".join(place for place in places if str(_WITHOUT_COMMON) not in place)


def recipes(
    processor: Processor, amx: Amx, backend_args: str = "", *, has_images: bool = False
) -> Iterator[Recipe]:
    """The recipes for this processor and a backend's own arguments for CMake."""
    common = (*_common(has_images), *backend_args.split())
    yield from _native(processor, amx, common)
    if processor.x86_level >= 3:
        yield _x86(3, _FEATURES, "kernels of AVX-512 and later are left out", common)
    if processor.machine == "x86_64":
        yield _x86(2, ("SSE42",), "several times slower: no AVX at all", common)
    else:
        yield Recipe(
            "baseline",
            "for any processor of this architecture",
            "slower: nothing that only newer processors have",
            (*common, "-DGGML_NATIVE=OFF"),
        )


def _common(has_images: bool) -> tuple[str, ...]:
    if has_images:
        return ("-DLLAVA_BUILD=ON",)
    if " " in str(_WITHOUT_COMMON):  # CMAKE_ARGS is split at blanks
        return ("-DLLAVA_BUILD=OFF",)
    return ("-DLLAVA_BUILD=OFF", f"-DCMAKE_PROJECT_llama.cpp_INCLUDE={_WITHOUT_COMMON.as_posix()}")


def _native(processor: Processor, amx: Amx, common: tuple[str, ...]) -> Iterator[Recipe]:
    mended = (f'-include "{HEADER}"',) if amx is Amx.MENDED else ()
    if amx is not Amx.BROKEN:
        note = ", with AMX mended" if mended else ""
        yield Recipe("native", f"for exactly this processor{note}", "", common, cxx_flags=mended)
    if processor.has_amx and amx is not Amx.ABSENT:
        cost = "prompts are read at about a third of the speed"
        title = "for this processor without AMX"
        yield Recipe("native-without-amx", title, cost, common, _NO_AMX)


def _x86(level: int, features: tuple[str, ...], cost: str, common: tuple[str, ...]) -> Recipe:
    switches = tuple(
        f"-DGGML_{feature}={'ON' if feature in features else 'OFF'}" for feature in _FEATURES
    )
    cmake = (*common, "-DGGML_NATIVE=OFF", *switches)
    return Recipe(f"x86-64-v{level}", f"for any x86-64-v{level} processor", cost, cmake)


def compiler_command(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The C++ compiler that CMake will take, as a command line; empty where there is none."""
    from shlex import split
    from shutil import which

    if environment.get("CXX"):
        return split(environment["CXX"])
    return next(([name] for name in ("c++", "g++", "clang++") if which(name)), [])
