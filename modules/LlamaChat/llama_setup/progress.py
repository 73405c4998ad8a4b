"""How far a compilation is, drawn on a terminal; nothing where the output is no terminal."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO

_NINJA = re.compile(r"\[(\d+)/(\d+)\]")
_BAR_CELLS = 24
_REDRAW_S = 0.2


class CompileProgress:
    """Reads what a build prints, and shows the step, the percentage and the time left.

    ninja numbers what it does: `[12/140] ...`. A build that goes on where an earlier one stopped
    counts what is left only.
    """

    def __init__(
        self, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out = out or sys.stdout
        self._clock = clock
        self._is_drawn = self._out.isatty()
        self._step = "Preparing"
        self._done = self._all = 0
        self._began_s: float | None = None
        self._drawn_at_s = float("-inf")

    def feed(self, line: str) -> None:
        """Take one line of the build's output."""
        found = _NINJA.search(line)
        if found:
            self._done, self._all = int(found[1]), int(found[2])
            if self._began_s is None:
                self._began_s = self._clock()
            self._step = "Compiling llama.cpp"
        elif "Configuring CMake" in line:
            self._step = "Configuring"
        elif "Installing" in line and self._all:
            self._step = "Packing"
        self._draw()

    def close(self) -> None:
        """Clear the line."""
        if self._is_drawn:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def text(self) -> str:
        """The line as it is drawn."""
        if not self._all:
            return f"  {self._step} ..."
        share = self._done / self._all
        filled = int(share * _BAR_CELLS)
        bar = "#" * filled + "." * (_BAR_CELLS - filled)
        return f"  {self._step} [{bar}] {share:4.0%} {self._done}/{self._all}{self._left(share)}"

    def _left(self, share: float) -> str:
        if self._began_s is None or share < 0.05:
            return ""
        left_s = (self._clock() - self._began_s) * (1 - share) / share
        if left_s < 10:
            return ", a few seconds left"
        return f", about {left_s / 60:.0f} min left" if left_s >= 90 else f", {left_s:.0f} s left"

    def _draw(self) -> None:
        now_s = self._clock()
        if not self._is_drawn or now_s - self._drawn_at_s < _REDRAW_S:
            return
        self._drawn_at_s = now_s
        width = shutil.get_terminal_size().columns - 1
        self._out.write(f"\r\x1b[K{self.text()[:width]}")
        self._out.flush()
