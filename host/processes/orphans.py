"""What this host launched ends with it, even when the host is killed.

POSIX has no such tie between processes (Linux's PR_SET_PDEATHSIG reaches the child alone, not what
the child started): a guard process (orphan_guard.py) holds a pipe from this host and ends the named
groups when it closes. On Windows the job objects of process_group.py do that.

Invariant: the guard runs while there is something to guard, and ends with `close` at the latest.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import weakref
from pathlib import Path

from host.processes.orphan_guard import IGNORED

_logger = logging.getLogger(__name__)

_SCRIPT = Path(__file__).with_name("orphan_guard.py")
_END_S = 5.0


class OrphanGuard:
    """Told of every group that is launched, and that has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._watched: set[int] = set()

    def expect(self, instance_id: str) -> None:
        """It is about to be launched: end it too should this host die before it knows its group."""
        if os.name != "posix":
            return
        if self._process is None:
            self._process = _launch()
            self._end = weakref.finalize(self, _end, self._process)
        self._tell(f"?{instance_id}\n")

    def expect_no_more(self, instance_id: str) -> None:
        """It could not be launched."""
        if self._process is not None:
            self._tell(f"!{instance_id}\n")

    def watch(self, group: int, instance_id: str) -> None:
        """End that group, of an instance that was expected, should this host die."""
        if self._process is not None:
            self._watched.add(group)
            self._tell(f"+{group} {instance_id}\n")

    def forget(self, group: int) -> None:
        """The group has ended, or sees to its end by itself."""
        if group in self._watched:
            self._watched.discard(group)
            self._tell(f"-{group}\n")

    def close(self) -> None:
        """Nothing is left to guard. Returns when the guard has ended, within milliseconds."""
        if self._process is not None:
            self._process = None
            self._watched.clear()
            self._end()

    def _tell(self, line: str) -> None:
        assert self._process is not None and self._process.stdin is not None  # noqa: S101
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except OSError as error:  # somebody killed it
            _logger.warning("orphans of this host would stay: the guard is gone (%s)", error)


def _launch() -> subprocess.Popen[bytes]:
    """In a session of its own, and deaf from its first moment (a child has the mask of the thread
    that launches it): what ends the host's terminal or group must not end the guard."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)
    try:
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", str(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None  # noqa: S101
    try:
        process.stdin.close()
    except OSError:
        pass  # it is gone already
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
