"""One module process's life between start and end: puts the loops together and takes them down.

Invariant: `run()` returns within about two seconds of `quit()`, whatever the module's code is
doing, and by then every command has been answered or reported as far as the host would listen.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from sdk import answers
from sdk.command_board import CommandBoard
from sdk.control_loop import ControlLoop
from sdk.errors import HostUnavailable, describe
from sdk.executor import CommandExecutor
from sdk.host_client import HostAddress, HostClient
from sdk.legacy import LegacyLoop
from sdk.module_options import ModuleOptions
from sdk.outlet import HostOutlet
from sdk.progress_reporter import ProgressReporter
from sdk.readiness import Readiness
from sdk.slots import Slots
from sdk.status_loop import StatusLoop, StatusSource
from sdk.system_commands import SystemCommands
from sdk.tasks import Backoff, TaskSet, Wake
from sdk.user_threads import UserThreads
from sdk.wire import PROTOCOL
from sdk.work_loop import WorkLoop

if TYPE_CHECKING:
    from sdk.module_runner import ModuleRunner

logger = logging.getLogger(__name__)

STOP_WORK_S = 0.9
REPORT_S = 0.5
CLEANUP_S = 0.3
LAST_LOGS_S = 0.1


class ModuleService:
    """Make it inside a running event loop, `run()` it once; `quit()` ends it."""

    def __init__(self, runner: ModuleRunner, address: HostAddress | None = None) -> None:
        self._runner = runner
        self._client = HostClient(address or address_of(runner))
        self._quit = asyncio.Event()
        self._wake, self._urgent = Wake(), Wake()
        self._readiness = Readiness()
        self._slots = Slots(runner.parallelism)
        self._board = CommandBoard(self._wake.ring, self._urgent.ring)
        self._initialising = TaskSet()
        self._loops = TaskSet()
        self._claims = TaskSet()
        self._work = TaskSet()
        self._outlet = HostOutlet(self._client, runner, self._board)
        self._reporter = ProgressReporter(
            self._client.progress, self._board.cancel, self._wake, self._urgent
        )
        self.threads = UserThreads()
        source = StatusSource(runner, self._slots, self._readiness, self.threads)
        self._status = StatusLoop(self._client, source)
        self._system = SystemCommands(runner, self._board, self.threads, source, self.quit)
        self._is_broken = False

    def quit(self, reason: str) -> None:
        """Begins the end. On the event loop's thread; calling it again changes nothing."""
        if not self._quit.is_set():
            logger.info("stopping: %s", reason)
            self._runner.on_quit()
            self._quit.set()

    async def run(self) -> int:
        """Serves until `quit()`. The process's exit code: 0, or 1 if the SDK itself broke down."""
        async with self._client:
            self._runner.client = self._client
            self._loops.spawn(self._guard(self._runner.logger.run(self._client.log)))
            self._initialising.spawn(self._initialise())
            serving = asyncio.ensure_future(self._serve())
            try:
                await self._quit.wait()
            finally:
                serving.cancel()
                await self._take_down()
        return 1 if self._is_broken else 0

    async def _initialise(self) -> None:
        try:
            await self.threads.call(self._runner.initialize)
        except Exception as error:
            logger.error("initialise() failed", exc_info=error)
            self._runner.report_error(error, type(self._runner).__name__)
            self._readiness.settle(describe(error))
        else:
            self._readiness.settle(None)
        self._status.state_changed()

    async def _serve(self) -> None:
        """Finds out what the host speaks, then starts the loops for it."""
        await self._handshake()
        self._loops.spawn(self._guard(self._status.run()))
        if self._client.protocol >= PROTOCOL:
            self._serve_protocol_2()
        else:
            self._serve_part_1()

    async def _handshake(self) -> None:
        backoff = Backoff()
        while True:
            try:
                shake = await self._client.handshake()
            except HostUnavailable as error:
                logger.debug("no host yet: %s", error)
                await backoff.pause()
            else:
                logger.info("the host speaks protocol %s", shake.protocol)
                return

    def _serve_protocol_2(self) -> None:
        control = ControlLoop(
            self._client, self._board, self._system, self._outlet, self._work, self.quit
        )
        work = WorkLoop(
            self._client,
            self._executor(self._reporter.track),
            self._slots,
            self._readiness,
            self._system,
            self._outlet,
            self._work,
        )
        for loop in (self._reporter.run(), control.run()):
            self._loops.spawn(self._guard(loop))
        self._claims.spawn(self._guard(work.run()))

    def _serve_part_1(self) -> None:
        legacy = LegacyLoop(
            self._client,
            self._executor(None),
            self._system,
            self._outlet,
            self._work,
            self._slots.limit,
        )
        self._claims.spawn(self._guard(legacy.run()))

    def _executor(self, track: Any) -> CommandExecutor:
        return CommandExecutor(
            self._runner,
            self._board,
            self._slots,
            self.threads,
            self._readiness,
            self._outlet,
            track,
        )

    async def _guard(self, loop: Coroutine[Any, Any, None]) -> None:
        """A loop that breaks is a fault of the SDK: end the process, and the host restarts it."""
        try:
            await loop
        except Exception:
            logger.critical("a loop of the SDK broke down", exc_info=True)
            self._is_broken = True
            self.quit("the SDK broke down")

    async def _take_down(self) -> None:
        """The reporter and the polls go on while the work is being stopped, then end too."""
        await self._claims.cancel()
        if self._readiness.state == "loading":
            self._readiness.settle("it was stopped while it loaded")
        for command in self._board.unfinished():
            command.cancel()
        await self._work.wait(STOP_WORK_S)
        for command in self._board.unfinished():
            command.finish(answers.cancelled("The module was stopped"))
        await self._work.cancel()
        await asyncio.gather(self._reporter.drain(REPORT_S), self._outlet.drain(REPORT_S))
        await self._loops.cancel()
        await self._initialising.cancel()
        await self._clean_up()
        await self._flush_log()

    async def _clean_up(self) -> None:
        """Only when none of the module's code still runs: freeing what a stuck thread uses could
        crash the process in the middle of its end."""
        if self.threads.alive_count():
            logger.warning("%d threads are stuck, no cleanup()", self.threads.alive_count())
            return
        try:
            await asyncio.wait_for(self.threads.call(self._runner.cleanup), CLEANUP_S)
        except asyncio.TimeoutError:
            logger.warning("cleanup() took more than %s s", CLEANUP_S)
        except Exception as error:
            logger.warning("cleanup() failed", exc_info=error)

    async def _flush_log(self) -> None:
        try:
            await asyncio.wait_for(self._runner.logger.flush(self._client.log), LAST_LOGS_S)
        except asyncio.TimeoutError:
            pass
        self._runner.logger.flush_to_console()


def address_of(runner: ModuleRunner) -> HostAddress:
    """Where the environment says the host is; an instance id of its own where none was given."""
    return HostAddress(
        url=ModuleOptions.host_url,
        module_id=runner.module_id,
        queue_name=runner.queue_name,
        instance_id=ModuleOptions.instance_id or secrets.token_hex(8),
        token=ModuleOptions.api_token,
    )
