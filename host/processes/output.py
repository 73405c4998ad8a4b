"""What a child process prints, as lines in the log.

Invariant: whatever it prints, memory stays bounded and reading never waits: long lines are cut,
and of a flood a part is left out, counted.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable

from host.log.ring import LogRing
from host.processes.process import STDERR

MAX_LINE_BYTES = 3_000
MAX_LINES_PER_S = 200
KEPT_LINES = 20

_BREAK = re.compile(rb"[\r\n]+")  # progress bars go back with \r instead of ending the line
_UNPRINTABLE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class OutputLog:
    """Takes the output of one process in chunks. `clock` counts seconds.

    `mark` comes after the label, to tell one process of a module from another.
    """

    def __init__(
        self,
        log: LogRing,
        category: str,
        mark: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._category = category
        self._mark = mark
        self._clock = clock
        self._unfinished: dict[int, bytes] = {}
        self._kept: dict[bool, deque[str]] = {
            True: deque(maxlen=KEPT_LINES),
            False: deque(maxlen=KEPT_LINES),
        }
        self._window_start = clock()
        self._window_lines = 0
        self._left_out = 0

    def feed(self, stream: int, data: bytes) -> None:
        """Take a chunk of STDOUT or STDERR; the last line may be unfinished."""
        *lines, rest = _BREAK.split(data)
        if lines:
            lines[0] = self._unfinished.pop(stream, b"") + lines[0]
            for line in lines:
                self._line(stream, line)
        # Of a line without end, one byte more than is shown says that it was cut.
        kept = self._unfinished.get(stream, b"") + rest[: MAX_LINE_BYTES + 1]
        self._unfinished[stream] = kept[: MAX_LINE_BYTES + 1]

    def finish(self) -> None:
        """Put down what is left; the process has ended."""
        for stream, rest in self._unfinished.items():
            self._line(stream, rest)
        self._unfinished.clear()
        self._report_left_out()

    def last_lines(self) -> list[str]:
        """The last lines of standard error, or of standard output if there was none."""
        return list(self._kept[True] or self._kept[False])

    def _line(self, stream: int, raw: bytes) -> None:
        text = _UNPRINTABLE.sub("", raw[:MAX_LINE_BYTES].decode("utf-8", "replace")).rstrip()
        if not text:
            return
        if len(raw) > MAX_LINE_BYTES:
            text += "... (line cut)"
        is_error = stream == STDERR
        self._kept[is_error].append(text)
        if self._has_room():
            label = "stderr" if is_error else "stdout"
            self._log.add(text, category=self._category, label=label + self._mark)
        else:
            self._left_out += 1

    def _has_room(self) -> bool:
        now = self._clock()
        if now - self._window_start >= 1:
            self._report_left_out()
            self._window_start, self._window_lines = now, 0
        self._window_lines += 1
        return self._window_lines <= MAX_LINES_PER_S

    def _report_left_out(self) -> None:
        if self._left_out:
            self._log.add(
                f"{self._left_out} lines of output left out: more than {MAX_LINES_PER_S} a second",
                level="warning",
                category=self._category,
                label=f"supervisor{self._mark}",
            )
            self._left_out = 0
