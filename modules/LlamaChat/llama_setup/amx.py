"""What this machine's compiler and kernel make of AMX, found out in a second by a small program.

AMX is worth having (a prompt is read about 2.8 times as fast), and two things take it away: GCC
before 13.3, whose mistake `amx_tile_config.h` mends, and kernels or sandboxes that refuse it.
"""

from __future__ import annotations

import enum
import subprocess
import tempfile
from pathlib import Path

HEADER = Path(__file__).with_name("amx_tile_config.h")
_CHECK = Path(__file__).with_name("amx_check.cpp")
_TIMEOUT_S = 60.0


class Amx(enum.Enum):
    """What to do about AMX in a build for this processor."""

    ABSENT = "not used by this compiler"
    WORKS = "works"
    MENDED = "works once the compiler's mistake is mended"
    BROKEN = "does not work here"


def try_amx(compiler: list[str]) -> Amx:
    """Compile and run the program, without and with the header. `compiler` is its command line."""
    with tempfile.TemporaryDirectory(prefix="llamachat-amx-") as folder:
        plain = _outcome(compiler, [], Path(folder) / "plain")
        if plain == 0:
            return Amx.WORKS
        if plain == 2:
            return Amx.ABSENT
        mended = _outcome(compiler, ["-include", str(HEADER)], Path(folder) / "mended")
        return Amx.MENDED if mended == 0 else Amx.BROKEN


def _outcome(compiler: list[str], flags: list[str], program: Path) -> int | None:
    """The program's exit code (negative: a signal); None where it cannot be compiled or hangs."""
    command = [*compiler, "-O3", "-march=native", *flags, str(_CHECK), "-o", str(program)]
    try:
        for line in (command, [str(program)]):
            result = subprocess.run(  # noqa: S603 - the compiler that the build will use
                line, capture_output=True, timeout=_TIMEOUT_S, check=False
            )
            if result.returncode != 0:
                return result.returncode if line is not command else None
    except (OSError, subprocess.TimeoutExpired):
        return None
    return 0
