"""The terms of supervision: what a module's process can be, and what it is treated by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from host.log.ring import LogRing
from host.processes.launched_id import new_launched_id
from host.processes.orphans import OrphanGuard
from host.processes.process import Launcher, launch_process
from host.settings import ServerSettings


class ModuleStatus(str, Enum):
    """Where a module's process stands; the values are those of the wire."""

    UNKNOWN = "Unknown"  # no such module here
    NOT_STARTED = "NotStarted"  # nobody has asked for it yet
    STARTING = "Starting"  # launched; has not spoken to the host yet
    STARTED = "Started"  # has spoken
    RESTARTING = "Restarting"  # crashed; pausing before the next launch
    FAILED_START = "FailedStart"  # cannot be launched at all
    CRASHED = "Crashed"  # crashed too often in a row; left alone, or tried again in minutes
    STOPPING = "Stopping"  # asked to end
    STOPPED = "Stopped"  # ended because someone asked


@dataclass(frozen=True)
class ModuleProcessState:
    """What is known of a module's process. `reason` is why it is not running, or last was not;
    `next_try_s` is when one that was given up is tried again, by `Timing.clock`."""

    status: ModuleStatus
    pid: int | None = None
    instance_id: str | None = None
    started_at: datetime | None = None
    last_seen: datetime | None = None
    restarts: int = 0
    reason: str = ""
    next_try_s: float | None = None


@dataclass(frozen=True)
class RestartPolicy:
    """When a crashed module is launched again."""

    max_failures: int = 5  # in a row; then it is given up
    first_pause_s: float = 0.5  # doubles with each failure
    max_pause_s: float = 30.0
    stable_after_s: float = 60.0  # a run this long that was ready ends the row
    first_try_s: float = 0.0  # until one that was given up is tried again; doubles; 0: never
    max_try_s: float = 1800.0

    def pause_s(self, failures: int) -> float:
        """The pause after that many failures in a row."""
        return float(min(self.first_pause_s * 2 ** (failures - 1), self.max_pause_s))


TRIES_AGAIN = RestartPolicy(first_try_s=60.0)
"""For a host, above which nobody starts a module anew. A GPU that was full, a disk that was away:
such things end, and nobody should have to be there for it."""


@dataclass(frozen=True)
class StopLadder:
    """How long each step of a stop may take. The sum stays under five seconds."""

    grace_s: float = 3.0  # after the request to quit
    terminate_s: float = 1.0  # after SIGTERM
    kill_s: float = 0.4  # after SIGKILL; only the kernel can hold a process longer


async def _no_quit(module_id: str, instance_id: str) -> None:
    """Nobody to carry the request."""


async def _no_exit(module_id: str, instance_id: str, reason: str) -> None:
    """Nobody to tell."""


def _no_state(module_id: str, state: ModuleProcessState) -> None:
    """Nobody to tell."""


def no_env(instance_id: str) -> Mapping[str, str]:
    """Nothing to add."""
    return {}


@dataclass(frozen=True)
class Hooks:
    """What the host does for the supervisor.

    request_quit: carry the request to quit to that instance; it need not wait for the outcome.
    on_exit: an instance has ended, however; called before its successor is launched.
    on_state: something in a module's state has changed.
    """

    request_quit: Callable[[str, str], Awaitable[None]] = _no_quit
    on_exit: Callable[[str, str, str], Awaitable[None]] = _no_exit
    on_state: Callable[[str, ModuleProcessState], None] = _no_state


@dataclass(frozen=True)
class Timing:
    """When things happen; `clock` counts seconds."""

    restarts: RestartPolicy = RestartPolicy()
    ladder: StopLadder = StopLadder()
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    silent_s: float = 15.0  # a ready module of protocol 2 speaks every two seconds
    slow_silent_s: float = 60.0  # others, and those that load, may be blocked for a while
    look_every_s: float = 1.0


@dataclass(frozen=True)
class Surroundings:
    """What the processes of all modules share."""

    server: ServerSettings
    log: LogRing
    hooks: Hooks = Hooks()
    timing: Timing = Timing()
    launcher: Launcher = launch_process
    base_env: Mapping[str, str] | None = None  # None: the host's own
    new_id: Callable[[], str] = new_launched_id  # for each launched instance
    more_env: Callable[[str], Mapping[str, str]] = no_env  # by instance id, over all else
    guard: OrphanGuard = field(default_factory=OrphanGuard)
