"""How a process ended, in words."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

_SHOWN_LINES = 3
_SHOWN_CHARACTERS = 600
_SAMPLES = 3

_HINTS = {
    "SIGKILL": "probably out of memory",
    "SIGSEGV": "a fault in native code",
    "SIGBUS": "a fault in native code, or a mapped file that shrank",
    "SIGABRT": "native code gave up",
    "SIGFPE": "a fault in native code",
    "SIGILL": "a build for another kind of CPU",
}
_FAULT_SIGNALS = (*_HINTS, "SIGTRAP", "SIGSYS")
_NTSTATUS_ERRORS = range(0xC0000000, 0x100000000)  # Windows: access violation and the like
_NTSTATUS_CONTROL_C = 0xC000013A


def free_memory_bytes() -> int:
    """Memory that a process could have now without swapping."""
    return int(psutil.virtual_memory().available)


class FreeMemory:
    """Free memory as it was while a process lived: its death gives back what it took."""

    def __init__(self, read: Callable[[], int] = free_memory_bytes) -> None:
        self._read = read
        self._samples: deque[int] = deque([read()], maxlen=_SAMPLES)

    def look(self) -> None:
        self._samples.append(self._read())

    @property
    def last_bytes(self) -> int:
        """The least of the last looks: one may have come when the process was dead already."""
        return min(self._samples)


@dataclass(frozen=True)
class Ending:
    """How a launch ended. `reason` is `cause`, the short form, and what the process said last."""

    cause: str
    reason: str
    is_fault: bool

    def told(self, had_work: bool) -> str:
        """What clients may know. A process that may have had commands says last what one of them
        made it say: that is for the log alone."""
        return self.cause if had_work else self.reason

    @staticmethod
    def forced(cause: str) -> Ending:
        """It was ended: because it hung, unless somebody wanted a stop."""
        return Ending(cause, cause, True)

    @staticmethod
    def own(returncode: int | None, last_lines: Sequence[str], free_bytes: int) -> Ending:
        """It ended by itself. For the arguments see `describe_exit`."""
        if returncode is None:
            lost = "it could not be watched any longer"
            return Ending(lost, lost, False)
        cause = describe_exit(returncode, [], free_bytes)
        reason = describe_exit(returncode, last_lines, free_bytes)
        return Ending(cause, reason, is_fault(returncode))


def is_fault(returncode: int) -> bool:
    """Whether native code, or memory, ended a process: neither its own will nor somebody's wish.

    A kill counts: it comes from the kernel, for memory, more often than from a person.
    """
    if returncode >= 0:
        return returncode in _NTSTATUS_ERRORS and returncode != _NTSTATUS_CONTROL_C
    return any(-returncode == getattr(signal, name, None) for name in _FAULT_SIGNALS)


def describe_exit(returncode: int, last_lines: Sequence[str], free_bytes: int) -> str:
    """What a process that nobody asked to end died of.

    `last_lines` is what it said last, `free_bytes` how much memory was free while it lived.
    """
    if returncode < 0:
        what = _signal_text(-returncode, free_bytes)
    elif returncode > 0xFF:
        what = f"exit code {returncode} (0x{returncode:08X})"  # Windows: an NTSTATUS
    elif returncode:
        what = f"exit code {returncode}"
    else:
        what = "it ended with exit code 0 although nobody had asked it to"
    said = " | ".join(line.strip() for line in last_lines[-_SHOWN_LINES:])
    if len(said) > _SHOWN_CHARACTERS:
        said = "..." + said[-_SHOWN_CHARACTERS:]
    return f"{what}; last lines: {said}" if said else what


def _signal_text(number: int, free_bytes: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"killed by signal {number}"
    hint = _HINTS.get(name)
    text = f"killed by {name} (signal {number})" + (f": {hint}" if hint else "")
    if name == "SIGKILL":
        text += f"; free memory just before was {free_bytes / 1e9:.1f} GB"
    return text
