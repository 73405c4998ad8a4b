"""A small process that outlives its host for a moment, to end what the host left behind.

Run as a script with the host's pipe as standard input, a line for each change: `?ID` an instance is
about to be launched; `!ID` it is not; `+PID ID` it leads the process group PID; `-PID` the host is
done with that group. When the pipe closes, however the host came to its end, all groups still named
are told to end and then killed; so is an instance whose host was killed before it knew its number,
where the system shows environments (Linux).

Invariant: it ends when the host does, and does nothing while the host lives. POSIX only.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable

TERMINATE_S = 2.0
LAUNCH_S = 1.0
LOOK_EVERY_S = 0.05
IGNORED = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # these are for the host; Windows lacks the last


def main() -> None:
    """Until the pipe closes; then end the groups. Its host has blocked what is not for it."""
    groups: set[int] = set()
    expected: set[str] = set()
    for line in sys.stdin:
        change, (name, *instance) = line[0], line[1:].split()
        if change in "?!":
            expected.add(name) if change == "?" else expected.discard(name)
        elif change == "+":
            groups.add(int(name))
            expected -= set(instance)
        else:
            groups.discard(int(name))
    end(groups | _found(expected))


def _found(expected: set[str]) -> set[int]:
    """The groups of instances that were being launched; one may need a moment to become itself."""
    found: dict[str, int] = {}
    deadline_s = time.monotonic() + LAUNCH_S
    while expected - found.keys() and time.monotonic() < deadline_s:
        for process in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
            try:
                with open(f"/proc/{process}/environ", "rb") as file:
                    names = set(
                        file.read().decode("utf-8", "replace").replace("=", "\0").split("\0")
                    )
                found |= dict.fromkeys(expected & names, os.getpgid(int(process)))
            except OSError:  # it has ended, or is somebody else's
                continue
        time.sleep(LOOK_EVERY_S)
    return set(found.values())


def end(groups: Iterable[int]) -> None:
    """SIGTERM, `TERMINATE_S` seconds of patience, SIGKILL."""
    left = [group for group in groups if _signal(group, signal.SIGTERM)]
    deadline_s = time.monotonic() + TERMINATE_S
    while left and time.monotonic() < deadline_s:
        time.sleep(LOOK_EVERY_S)
        left = [group for group in left if _signal(group, 0)]
    for group in left:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    """False when nobody of the group is left."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
