"""Running other programs: their output goes to a log, and its end into the error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from llama_setup.setup_error import SetupError

_SHOWN_LOG_LINES = 15

Line = Callable[[str], None]
"""Is given each line of a program's output as it comes."""


def say(text: str) -> None:
    """A line for the person who installs."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def signal_name(number: int) -> str:
    """`SIGSEGV`, or the bare number of one that has no name here."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def run_logged(
    command: list[str],
    log: Path,
    remedy: str,
    *,
    environment: Mapping[str, str] | None = None,
    on_line: Line | None = None,
    is_verbose: bool = False,
) -> None:
    """Run a program to its end. Raises SetupError, with the remedy and the log's end."""
    with log.open("w", encoding="utf-8", errors="replace") as output:
        code = _run(command, output.write, environment, on_line, is_verbose)
    if code != 0:
        raise SetupError(remedy, _end_of(log, command, code))


def _run(
    command: list[str],
    write: Callable[[str], object],
    environment: Mapping[str, str] | None,
    on_line: Line | None,
    is_verbose: bool,
) -> int:
    with subprocess.Popen(  # noqa: S603 - programs of the installer's own choice, no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=dict(os.environ if environment is None else environment),
    ) as process:
        for line in process.stdout or ():
            write(line)
            if is_verbose:
                sys.stdout.write(line)
            if on_line is not None:
                on_line(line)
        return process.wait()


def _end_of(log: Path, command: list[str], code: int) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    name = Path(command[0]).name
    return "\n".join(
        [
            f"{' '.join([name, *command[1:]])[:300]} ended with {code}. The end of its output:",
            *(f"  {line[:300]}" for line in lines[-_SHOWN_LOG_LINES:]),
            f"The whole of it is in {log}",
        ]
    )
