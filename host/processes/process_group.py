"""A child process together with all that it starts, as the operating system holds them together.

POSIX: the child leads a session and process group of its own. Windows: a job object, which ends
its processes when its last handle is closed, so also when the host dies.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any, Protocol


class ProcessGroup(Protocol):
    """What ChildProcess needs of the operating system."""

    def terminate(self) -> None:
        """Ask all of the group to end."""

    def kill(self) -> None:
        """End all of the group, also after its leader has gone."""

    def close(self) -> None:
        """Let go of the group; it is not used again."""


if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    LAUNCH_OPTIONS: dict[str, Any] = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}

    _KILL_ON_JOB_CLOSE = 0x2000
    _EXTENDED_LIMIT_INFORMATION = 9
    _SET_QUOTA_AND_TERMINATE = 0x0101

    class _BasicLimits(ctypes.Structure):
        _fields_ = (
            ("PerProcessUserTimeLimit", ctypes.c_int64),
            ("PerJobUserTimeLimit", ctypes.c_int64),
            ("LimitFlags", wintypes.DWORD),
            ("MinimumWorkingSetSize", ctypes.c_size_t),
            ("MaximumWorkingSetSize", ctypes.c_size_t),
            ("ActiveProcessLimit", wintypes.DWORD),
            ("Affinity", ctypes.c_size_t),
            ("PriorityClass", wintypes.DWORD),
            ("SchedulingClass", wintypes.DWORD),
        )

    class _ExtendedLimits(ctypes.Structure):
        _fields_ = (
            ("BasicLimitInformation", _BasicLimits),
            ("IoInfo", ctypes.c_uint64 * 6),
            ("ProcessMemoryLimit", ctypes.c_size_t),
            ("JobMemoryLimit", ctypes.c_size_t),
            ("PeakProcessMemoryUsed", ctypes.c_size_t),
            ("PeakJobMemoryUsed", ctypes.c_size_t),
        )

    def _kernel32() -> ctypes.WinDLL:
        kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel32.CreateJobObjectW.argtypes = (wintypes.LPVOID, wintypes.LPCWSTR)
        kernel32.CreateJobObjectW.restype = wintypes.HANDLE
        kernel32.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
        kernel32.OpenProcess.restype = wintypes.HANDLE
        kernel32.SetInformationJobObject.argtypes = (
            wintypes.HANDLE,
            ctypes.c_int,
            wintypes.LPVOID,
            wintypes.DWORD,
        )
        kernel32.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
        kernel32.TerminateJobObject.argtypes = (wintypes.HANDLE, wintypes.UINT)
        kernel32.CloseHandle.argtypes = (wintypes.HANDLE,)
        return kernel32

    class _Job:
        """https://learn.microsoft.com/windows/win32/procthread/job-objects"""

        def __init__(self, pid: int) -> None:
            self._pid = pid
            self._kernel32 = _kernel32()
            self._job = self._kernel32.CreateJobObjectW(None, None)
            limits = _ExtendedLimits()
            limits.BasicLimitInformation.LimitFlags = _KILL_ON_JOB_CLOSE
            self._kernel32.SetInformationJobObject(
                self._job, _EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), ctypes.sizeof(limits)
            )
            process = self._kernel32.OpenProcess(_SET_QUOTA_AND_TERMINATE, False, pid)
            if process:
                self._kernel32.AssignProcessToJobObject(self._job, process)
                self._kernel32.CloseHandle(process)

        def terminate(self) -> None:
            try:
                os.kill(self._pid, signal.CTRL_BREAK_EVENT)
            except OSError:  # it has ended, or has no console to be told through
                return

        def kill(self) -> None:
            if self._job:
                self._kernel32.TerminateJobObject(self._job, 1)

        def close(self) -> None:
            job, self._job = self._job, None
            if job:
                self._kernel32.CloseHandle(job)

    def process_group(pid: int) -> ProcessGroup:
        """The group of a child that was launched with LAUNCH_OPTIONS."""
        return _Job(pid)

else:
    LAUNCH_OPTIONS: dict[str, Any] = {"start_new_session": True}

    class _Session:
        def __init__(self, pid: int) -> None:
            self._group_id = pid  # the leader's pid; it stays taken while any member lives

        def terminate(self) -> None:
            self._signal(signal.SIGTERM)

        def kill(self) -> None:
            self._signal(signal.SIGKILL)

        def close(self) -> None:
            """There is nothing to let go of."""

        def _signal(self, number: signal.Signals) -> None:
            try:
                os.killpg(self._group_id, number)
            except (ProcessLookupError, PermissionError):
                return  # nobody left; macOS says "not permitted" when only zombies are

    def process_group(pid: int) -> ProcessGroup:
        """The group of a child that was launched with LAUNCH_OPTIONS."""
        return _Session(pid)
