"""The seam to a child process: launch it with its output captured, end it with all it started.

Invariant: when `close` returns, the child is reaped, nothing of its process group lives, and its
pipes are closed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from host.processes.priority import compute_as_usual
from host.processes.process_group import LAUNCH_OPTIONS, ProcessGroup, process_group

STDOUT = 1
STDERR = 2

DRAIN_S = 0.3  # what a dead process left in its pipes is read in a moment

OnOutput = Callable[[int, bytes], None]


class LaunchError(Exception):
    """The process could not be launched at all; trying again will not help."""


@dataclass(frozen=True)
class LaunchSpec:
    """A process to be: `command` is its program and arguments, `env` all of its environment."""

    command: Sequence[str]
    cwd: Path
    env: Mapping[str, str]


class Child(Protocol):
    """A running process, as the supervisor sees it."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None:
        """None while it runs; -N when signal N killed it."""

    async def wait(self) -> int:
        """Wait until the process itself has ended, and return its code."""

    def terminate(self) -> None:
        """Ask the whole group to end."""

    def kill(self) -> None:
        """End the whole group."""

    async def close(self) -> None:
        """Read what is left of its output, then let go of it."""


class Launcher(Protocol):
    """How a process comes to be; `on_output` gets each chunk with STDOUT or STDERR."""

    def __call__(self, spec: LaunchSpec, on_output: OnOutput) -> Awaitable[Child]: ...


async def launch_process(spec: LaunchSpec, on_output: OnOutput) -> Child:
    """Launch a process in a group of its own, without standard input. Raises LaunchError."""
    _check(spec)
    loop = asyncio.get_running_loop()
    try:
        transport, protocol = await loop.subprocess_exec(
            lambda: _ChildProtocol(on_output),
            *spec.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=spec.cwd,
            env=dict(spec.env),
            **LAUNCH_OPTIONS,
        )
    except (OSError, ValueError) as ex:  # ValueError: a null byte in a variable
        raise LaunchError(f"{spec.command[0]} could not be launched: {ex}") from ex
    compute_as_usual(transport.get_pid())
    return _ChildProcess(transport, protocol, process_group(transport.get_pid()))


def _check(spec: LaunchSpec) -> None:
    """Say plainly what is missing; the operating system's words leave that open."""
    program = spec.command[0]
    if not spec.cwd.is_dir():
        raise LaunchError(f"the working directory {spec.cwd} is not there")
    if shutil.which(program, path=spec.env.get("PATH", os.defpath)) is None:
        is_there = Path(program).exists()
        raise LaunchError(
            f"{program} is not an executable file"
            if is_there
            else f"the program {program} is not there"
        )


class _ChildProtocol(asyncio.SubprocessProtocol):
    """Receives what happens to the process.

    Not asyncio's own Process: depending on the Python version its `wait` also waits for the end
    of the pipes, which a grandchild can keep open for ever.
    """

    def __init__(self, on_output: OnOutput) -> None:
        self.exited = asyncio.Event()
        self.drained = asyncio.Event()
        self.released = asyncio.Event()
        self.on_exited: Callable[[], None] | None = None
        self._on_output = on_output
        self._open_pipes = {STDOUT, STDERR}

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self._on_output(fd, data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open_pipes.discard(fd)
        if not self._open_pipes:
            self.drained.set()

    def process_exited(self) -> None:
        self.exited.set()
        if self.on_exited is not None:
            self.on_exited()

    def connection_lost(self, exc: Exception | None) -> None:
        self.released.set()


class _ChildProcess:
    def __init__(
        self,
        transport: asyncio.SubprocessTransport,
        protocol: asyncio.SubprocessProtocol,
        group: ProcessGroup,
    ) -> None:
        self._transport = transport
        self._protocol = cast("_ChildProtocol", protocol)
        self._group = group
        # At once: as long as a member of the group lives, the group's id means this group.
        self._protocol.on_exited = group.kill
        if self._protocol.exited.is_set():
            group.kill()

    @property
    def pid(self) -> int:
        return self._transport.get_pid()

    @property
    def returncode(self) -> int | None:
        return self._transport.get_returncode()

    async def wait(self) -> int:
        await self._protocol.exited.wait()
        return cast("int", self._transport.get_returncode())

    def terminate(self) -> None:
        if not self._protocol.exited.is_set():
            self._group.terminate()

    def kill(self) -> None:
        if not self._protocol.exited.is_set():
            self._group.kill()

    async def close(self) -> None:
        self.kill()
        await _within(DRAIN_S, self._protocol.drained)
        self._transport.close()
        await _within(DRAIN_S, self._protocol.released)
        self._group.close()


async def _within(seconds: float, event: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        return  # a process that left the group holds the pipe; it is not ours to wait for
