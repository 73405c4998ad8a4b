"""One module process's life between start and end: puts the loops together and takes them down.

Invariant: `run()` returns within about two seconds of `quit()`, whatever the module's code is
doing, and by then every command has been answered or reported as far as the host would listen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from sdk.field.part1_loop import serve_part1
from sdk.field.published import PublishedStyle
from sdk.host.answer_sender import AnswerSender
from sdk.host.client import HostClient
from sdk.host.control_loop import ControlLoop
from sdk.host.progress_reporter import ProgressReporter
from sdk.host.protocol_watch import ProtocolWatch
from sdk.host.tasks import TaskSet, Wake
from sdk.host.wire import PROTOCOL
from sdk.process.hooks import ModuleHooks
from sdk.process.launch import Launch
from sdk.process.preparation import prepare
from sdk.process.status_file import StatusFile
from sdk.process.status_loop import StatusLoop, StatusSource
from sdk.work import answers
from sdk.work.command_board import CommandBoard, LongCommand
from sdk.work.executor import CommandExecutor
from sdk.work.module_threads import ModuleThreads
from sdk.work.readiness import Readiness
from sdk.work.slots import Slots
from sdk.work.system_commands import SystemCommands
from sdk.work.work_loop import fetch_work

logger = logging.getLogger(__name__)

STOP_WORK_S = 0.8
REPORT_S = 0.5
GOODBYE_S = 0.3
CLEANUP_S = 0.3
LAST_LOGS_S = 0.1

DRAINED_LOOK_S = 0.1
HOSTLESS_LIMIT_S = 60.0
"""How long a module that is draining waits for a host to take what it has."""


class ModuleService:
    """Make it inside a running event loop, `run()` it once; `quit()` ends it, and calls `on_quit`
    as it begins to."""

    def __init__(
        self, module: ModuleHooks, launch: Launch, on_quit: Callable[[], None] = lambda: None
    ) -> None:
        self._module = module
        self._on_quit = on_quit
        self._client = HostClient(launch.address)
        self._quit = asyncio.Event()
        self._wake, self._urgent = Wake(), Wake()
        self._readiness = Readiness()
        self._slots = Slots(module.parallelism)
        self._steps = 0
        self._board = CommandBoard(self._step, self._urgent.ring)
        self._initialising = TaskSet()
        self._loops = TaskSet()
        self._talk = TaskSet()
        """What depends on the protocol: control, progress."""
        self._claims = TaskSet()
        self._work = TaskSet()
        self._sender = AnswerSender(self._client, module, self._board.refused)
        self._reporter = ProgressReporter(
            self._client.progress, self._board.cancel, self._wake, self._urgent
        )
        self.threads = ModuleThreads()
        source = StatusSource(
            module, self._slots, self._readiness, self.threads, self.held, lambda: self._steps
        )
        file = StatusFile(launch.status_file)
        self._status = StatusLoop(self._client, source, file)
        self._system = SystemCommands(
            module=module,
            board=self._board,
            threads=self.threads,
            sender=self._sender,
            tasks=self._work,
            read_status=source.read,
            on_quit=self.quit,
        )
        self._executor = CommandExecutor(
            module=module,
            board=self._board,
            slots=self._slots,
            threads=self.threads,
            readiness=self._readiness,
            sender=self._sender,
            run_published=PublishedStyle(module, self.threads).run,
            track=self._track,
        )
        self._reason = ""
        self._is_draining = False
        self._is_broken = False

    def _step(self) -> None:
        """Something of some command has grown. From any thread: all that counts is a change."""
        self._steps += 1
        self._wake.ring()

    def held(self) -> list[str]:
        """Every command that was claimed here and whose end the host has not confirmed."""
        confirmed_later = (*self._reporter.tracked(), *self._sender.pending())
        return sorted(self._board.held().union(confirmed_later))

    def quit(self, reason: str) -> None:
        """Begins the end. On the event loop's thread; calling it again changes nothing."""
        if not self._quit.is_set():
            logger.info("stopping: %s", reason)
            self._reason = reason
            self._on_quit()
            self._quit.set()

    def drain(self, reason: str) -> None:
        """Takes no more commands, finishes and delivers those it has, then quits."""
        if not self._is_draining:
            logger.info("draining: %s", reason)
            self._is_draining = True
            self._readiness.begin_draining()
            self._status.state_changed()
            self._loops.spawn(self._guard(self._until_drained(reason)))

    async def run(self) -> int:
        """Serves until `quit()`. The process's exit code: 0, or 1 if the SDK itself broke down."""
        async with self._client:
            self._module.client = self._client
            self._loops.spawn(self._guard(self._module.logger.run(self._client.log)))
            self._loops.spawn(self._guard(self._status.run()))
            self._initialising.spawn(self._prepare())
            watch = ProtocolWatch(self._client, self._talk_to_host)
            watching = asyncio.ensure_future(self._guard(watch.run()))
            try:
                await self._quit.wait()
            finally:
                watching.cancel()
                await self._take_down()
        return 1 if self._is_broken else 0

    def _prepare(self) -> Coroutine[Any, Any, None]:
        return prepare(self._module, self.threads, self._readiness, self._status.state_changed)

    async def _until_drained(self, reason: str) -> None:
        await self._claims.cancel()
        while self.held():
            if self._client.reachability.away_s > HOSTLESS_LIMIT_S:
                self.quit(f"{reason}, and there has been no other for {HOSTLESS_LIMIT_S:g} s")
                return
            await asyncio.sleep(DRAINED_LOOK_S)
        self.quit(f"{reason}, and all is done")

    async def _talk_to_host(self) -> None:
        """In what it speaks by now."""
        await self._talk.cancel()
        await self._claims.cancel()
        self._status.host_is_known()
        if not self._speaks_part_1():
            self._talk.spawn(self._guard(self._reporter.run()))
            self._talk.spawn(self._guard(self._control_loop().run()))
        if not self._is_draining:
            self._claims.spawn(self._guard(self._fetch()))

    def _speaks_part_1(self) -> bool:
        return self._client.protocol < PROTOCOL

    def _control_loop(self) -> ControlLoop:
        return ControlLoop(
            client=self._client,
            on_cancel=self._board.cancel,
            on_request=self._system.take,
            on_quit=self.quit,
            on_drain=self.drain,
        )

    def _fetch(self) -> Coroutine[Any, Any, NoReturn]:
        client, executor, system = self._client, self._executor, self._system
        if self._speaks_part_1():
            return serve_part1(client, executor, system, self._work, self._slots.limit)
        return fetch_work(client, executor, self._slots, self._readiness, system, self._work)

    def _track(self, command: LongCommand) -> None:
        if not self._speaks_part_1():  # such a host asks instead
            self._reporter.track(command)

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
            command.give_up()
        await self._work.wait(STOP_WORK_S)
        for command in self._board.unfinished():
            command.finish(answers.cancelled("The module was stopped"))  # its text is complete
        await self._work.cancel()
        await asyncio.gather(self._reporter.drain(REPORT_S), self._sender.drain(REPORT_S))
        await self._talk.cancel()
        await self._loops.cancel()
        await _within(GOODBYE_S, self._status.say_goodbye(self._reason), "telling the host")
        await self._initialising.cancel()
        await self._clean_up()
        last_logs = self._module.logger.flush(self._client.log)
        await _within(LAST_LOGS_S, last_logs, "telling the host the last of the log")
        self._module.logger.flush_to_console()

    async def _clean_up(self) -> None:
        """Only when none of the module's code still runs: freeing what a stuck thread uses could
        crash the process in the middle of its end."""
        if self.threads.alive_count():
            logger.warning("%d threads are stuck, no cleanup()", self.threads.alive_count())
            return
        try:
            await _within(CLEANUP_S, self.threads.call(self._module.cleanup), "cleanup()")
        except Exception as error:
            logger.warning("cleanup() failed", exc_info=error)


async def _within(limit_s: float, step: Coroutine[Any, Any, None], what: str) -> None:
    try:
        await asyncio.wait_for(step, limit_s)
    except asyncio.TimeoutError:
        logger.warning("%s took more than %s s", what, limit_s)
