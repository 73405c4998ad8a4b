"""One module process's life between start and end: puts the loops together and takes them down.

Invariant: `run()` returns within about two seconds of `quit()`, whatever the module's code is
doing, and by then every command has been answered or reported as far as the host would listen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from sdk.field.part1_loop import Part1Loop
from sdk.field.published import PublishedStyle
from sdk.host.answer_sender import AnswerSender
from sdk.host.client import HostClient
from sdk.host.control_loop import ControlLoop
from sdk.host.errors import HostUnavailable, describe
from sdk.host.progress_reporter import ProgressReporter
from sdk.host.tasks import Backoff, TaskSet, Wake
from sdk.host.wire import PROTOCOL
from sdk.process.hooks import ModuleHooks
from sdk.process.launch import Launch
from sdk.process.self_test import self_test
from sdk.process.status_file import StatusFile
from sdk.process.status_loop import StatusLoop, StatusSource
from sdk.work import answers
from sdk.work.command_board import CommandBoard, LongCommand
from sdk.work.executor import CommandExecutor
from sdk.work.readiness import Readiness
from sdk.work.slots import Slots
from sdk.work.system_commands import SystemCommands
from sdk.work.user_threads import UserThreads
from sdk.work.work_loop import WorkLoop

logger = logging.getLogger(__name__)

STOP_WORK_S = 0.8
REPORT_S = 0.5
GOODBYE_S = 0.3
CLEANUP_S = 0.3
LAST_LOGS_S = 0.1

LOOK_AGAIN_S = 5.0
"""While a host is away, or answers nonsense, how often to ask it again what it speaks."""
DRAINED_LOOK_S = 0.1
HOSTLESS_LIMIT_S = 60.0
"""How long a module that is draining waits for a host to take what it has."""


class ModuleService:
    """Make it inside a running event loop, `run()` it once; `quit()` ends it."""

    def __init__(self, module: ModuleHooks, launch: Launch) -> None:
        self._module = module
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
        self.threads = UserThreads()
        source = StatusSource(
            module,
            self._slots,
            self._readiness,
            self.threads,
            self.held,
            lambda: self._steps,
        )
        file = StatusFile(launch.status_file)
        self._status = StatusLoop(self._client, source, file)
        self._system = SystemCommands(
            module,
            self._board,
            self.threads,
            self._sender,
            self._work,
            source.read,
            self.quit,
        )
        self._executor = CommandExecutor(
            module,
            self._board,
            self._slots,
            self.threads,
            self._readiness,
            self._sender,
            PublishedStyle(module, self.threads).run,
            self._track,
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
            self._module.on_quit()
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
            self._initialising.spawn(self._initialise())
            serving = asyncio.ensure_future(self._guard(self._serve()))
            try:
                await self._quit.wait()
            finally:
                serving.cancel()
                await self._take_down()
        return 1 if self._is_broken else 0

    async def _until_drained(self, reason: str) -> None:
        await self._claims.cancel()
        while self.held():
            if self._client.reachability.away_s > HOSTLESS_LIMIT_S:
                self.quit(f"{reason}, and there has been no other for {HOSTLESS_LIMIT_S:g} s")
                return
            await asyncio.sleep(DRAINED_LOOK_S)
        self.quit(f"{reason}, and all is done")

    async def _initialise(self) -> None:
        try:
            await self.threads.call(self._module.initialize)
        except Exception as error:
            self._has_failed("initialise() failed", describe(error), error)
        else:
            await self._test()
        self._status.state_changed()

    async def _test(self) -> None:
        """A module that does not work is not ready, however well it has loaded."""
        self._readiness.begin_test()
        self._status.state_changed()
        reason = await self_test(self._module, self.threads)
        if reason is None:
            self._readiness.settle(None)
        else:
            self._has_failed("the self-test failed", f"its self-test failed: {reason}", None)

    def _has_failed(self, what: str, reason: str, error: Exception | None) -> None:
        logger.error("%s: %s", what, reason, exc_info=error)
        self._module.report_error(error, type(self._module).__name__, reason)
        self._readiness.settle(reason)

    async def _serve(self) -> None:
        """Talks to the host in its protocol; a host that was away may come back as another one."""
        await self._handshake()
        self._begin_talk()
        while True:
            await self._client.reachability.lost()
            await self._keep_in_step()

    async def _keep_in_step(self) -> None:
        """Asks while calls fail, and once more when they work again: what answered in between may
        have been something else, a proxy without its host for instance."""
        is_back = False
        while not is_back:
            is_back = await self._client.reachability.restored(LOOK_AGAIN_S)
            protocol = self._client.protocol
            await self._handshake()
            if self._client.protocol != protocol:
                await self._talk.cancel()
                await self._claims.cancel()
                self._begin_talk()

    async def _handshake(self) -> None:
        backoff = Backoff()
        while True:
            try:
                shake = await self._client.handshake()
            except HostUnavailable as error:
                logger.debug("no host yet: %s", error)
                await backoff.pause()
            else:
                logger.debug("the host speaks protocol %s", shake.protocol)
                return

    def _begin_talk(self) -> None:
        logger.info("the host speaks protocol %s", self._client.protocol)
        self._status.host_is_known()
        if self._client.protocol >= PROTOCOL:
            self._talk.spawn(self._guard(self._reporter.run()))
            self._talk.spawn(self._guard(self._control_loop().run()))
        if not self._is_draining:
            is_part_1 = self._client.protocol < PROTOCOL
            loop = self._part1_loop() if is_part_1 else self._work_loop()
            self._claims.spawn(self._guard(loop.run()))

    def _control_loop(self) -> ControlLoop:
        return ControlLoop(
            self._client,
            self._board.cancel,
            self._system.take,
            self.quit,
            self.drain,
        )

    def _work_loop(self) -> WorkLoop:
        return WorkLoop(
            self._client,
            self._executor,
            self._slots,
            self._readiness,
            self._system,
            self._work,
        )

    def _part1_loop(self) -> Part1Loop:
        return Part1Loop(
            self._client,
            self._executor,
            self._system,
            self._work,
            self._slots.limit,
        )

    def _track(self, command: LongCommand) -> None:
        if self._client.protocol >= PROTOCOL:  # a part-1 host asks instead
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
        await self._say_goodbye()
        await self._initialising.cancel()
        await self._clean_up()
        await self._flush_log()

    async def _say_goodbye(self) -> None:
        try:
            await asyncio.wait_for(self._status.say_goodbye(self._reason), GOODBYE_S)
        except asyncio.TimeoutError:
            logger.debug("the host did not hear the goodbye")

    async def _clean_up(self) -> None:
        """Only when none of the module's code still runs: freeing what a stuck thread uses could
        crash the process in the middle of its end."""
        if self.threads.alive_count():
            logger.warning("%d threads are stuck, no cleanup()", self.threads.alive_count())
            return
        try:
            await asyncio.wait_for(self.threads.call(self._module.cleanup), CLEANUP_S)
        except asyncio.TimeoutError:
            logger.warning("cleanup() took more than %s s", CLEANUP_S)
        except Exception as error:
            logger.warning("cleanup() failed", exc_info=error)

    async def _flush_log(self) -> None:
        try:
            await asyncio.wait_for(self._module.logger.flush(self._client.log), LAST_LOGS_S)
        except asyncio.TimeoutError:
            pass
        self._module.logger.flush_to_console()
