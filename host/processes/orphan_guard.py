"""A small process that outlives its host for a moment, to end what the host left behind.

Run as a script with the host's pipe as standard input: a line `+PID` names the leader of a process
group that the host launched, `-PID` one that it is done with. When the pipe closes, however the
host came to its end, all groups still named are told to end and then killed.

Invariant: it ends when the host does, and does nothing while the host lives. POSIX only.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable

TERMINATE_S = 2.0
LOOK_EVERY_S = 0.05
IGNORED = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # these are for the host; Windows lacks the last


def main() -> None:
    """Until the pipe closes; then end the groups. Its host has blocked what is not for it."""
    groups: set[int] = set()
    for line in sys.stdin:
        change, group = line[0], int(line[1:])
        groups.add(group) if change == "+" else groups.discard(group)
    end(groups)


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
