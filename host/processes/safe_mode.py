"""Whether a module is launched in safe mode, in which it leaves out what it can do without.

Invariant: after a launch that a fault ended before the module was ready, safe mode is tried once.
Where it helps it stays until the module is started anew; where it does not, launches are the usual
ones again, and safe mode is tried no more until one of them has been ready.
"""

from __future__ import annotations

from host.processes.exits import Ending

MARK = "CPAI_MODULE_SAFE_MODE"
REASON = "CPAI_MODULE_SAFE_MODE_REASON"


class SafeMode:
    """Of one module process. `is_allowed` is `LaunchSettings.SafeMode`."""

    def __init__(self, is_allowed: bool) -> None:
        self._is_allowed = is_allowed
        self._is_tried = False
        self.reason = ""
        """Why the module is launched in safe mode, in words; empty where it is not."""

    def begin(self) -> None:
        """Somebody starts the module: what was wrong may have been repaired."""
        self.reason = ""
        self._is_tried = False

    def environment(self) -> dict[str, str]:
        """What the next launch is told."""
        if not self._is_allowed:
            return {MARK: "false"}
        return {MARK: "true", REASON: self.reason} if self.reason else {}

    def judge(self, ending: Ending, was_ready: bool) -> bool:
        """Judge a launch that nobody asked to end; True when the next one is the first in safe
        mode."""
        if was_ready:
            self._is_tried = bool(self.reason)
            return False
        is_due = self._is_allowed and ending.is_fault and not self._is_tried
        self.reason = f"its usual launch failed: {ending.cause}" if is_due else ""
        self._is_tried = self._is_tried or is_due
        return is_due
