"""One module's process: launched, watched, launched again after a crash, stopped.

Invariant: one task (`_live`) alone owns the child from launch to `close`; whoever wants it to end
sets an event and waits for that task. A status is only ever set in `_become`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from host.processes.exits import Ending, FreeMemory
from host.processes.failure_row import FailureRow
from host.processes.liveness import Liveness, Sign, SilenceLimits
from host.processes.output import OutputLog
from host.processes.process import Child, LaunchError, LaunchSpec
from host.processes.safe_mode import SafeMode
from host.processes.supervision import ModuleProcessState, ModuleStatus, Surroundings
from host.settings import ModuleSettings, launch_command, module_environment

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Run:
    """One launch of the module."""

    instance_id: str
    child: Child
    output: OutputLog
    since_s: float
    liveness: Liveness
    memory: FreeMemory


class ModuleProcess:
    """One instance of a module, through all its launches.

    `environment` is its own; `mark` tells it from others of the module in the log.
    """

    def __init__(
        self,
        module: ModuleSettings,
        around: Surroundings,
        environment: Mapping[str, str],
        mark: str = "",
    ) -> None:
        self.module = module
        self._environment = environment
        self._mark = mark
        self._liveness: Liveness | None = None
        self.state = ModuleProcessState(ModuleStatus.NOT_STARTED)
        self._around = around
        self._turn = asyncio.Lock()  # one start or stop at a time
        self._stop = asyncio.Event()
        self._launched = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()  # somebody starts it while it is left alone
        self._row = FailureRow(around.timing.restarts)
        self._safe_mode = SafeMode(module.launch.safe_mode)
        self._was_ready = False  # in this launch

    async def start(self) -> None:
        """Launch the module, unless it runs; returns when it is launched or cannot be."""
        async with self._turn:
            is_living = self._task is not None and not self._task.done()
            if is_living and self.state.next_try_s is None:
                return
            self._stop.clear()
            self._launched.clear()
            self._row.begin()
            self._safe_mode.begin()
            if is_living:
                self._wanted.set()
            else:
                self._task = asyncio.create_task(self._live(), name=f"module {self.module.id}")
            await self._launched.wait()

    async def stop(self) -> None:
        """End the module and all it started; returns when it is gone."""
        async with self._turn:
            self._stop.set()
            if self._task is not None:
                await asyncio.wait({self._task})  # unlike `await`, leaves it be when cancelled
            self._become(ModuleStatus.STOPPED, pid=None, instance_id=None)

    def mark_ready(self) -> None:
        """It takes commands."""
        self.state = replace(self.state, last_seen=datetime.now(timezone.utc))
        if self.state.status is ModuleStatus.STARTING:
            self._was_ready = True
            self._become(ModuleStatus.STARTED, reason="")
            why = self._safe_mode.reason
            self._note(f"started (safe mode): {why}" if why else "started")

    def mark_seen(self, sign: Sign) -> None:
        """A sign of life."""
        self.state = replace(self.state, last_seen=datetime.now(timezone.utc))
        if self._liveness is not None:
            self._liveness.sign(sign)

    async def _live(self) -> None:
        """Launch, watch and launch again, until stopped or given up."""
        try:
            while not self._stop.is_set():
                run = await self._launch()
                if run is None or not await self._watch(run):
                    break
            if self._stop.is_set():
                self._become(ModuleStatus.STOPPED, next_try_s=None)
        except Exception as ex:
            _logger.exception("supervision of module %s failed", self.module.id)
            reason = f"internal error: {ex!r}"
            self._become(ModuleStatus.CRASHED, pid=None, instance_id=None, reason=reason)
        finally:
            self._launched.set()

    async def _launch(self) -> _Run | None:
        """Launch the process; None when that cannot be done."""
        restarts = self.state.restarts + (self.state.next_try_s is not None)
        self._become(ModuleStatus.STARTING, last_seen=None, restarts=restarts, next_try_s=None)
        self._wanted.clear()
        self._was_ready = False
        instance_id = self._around.new_id()
        output = OutputLog(self._around.log, self.module.id, self._mark)
        self._around.guard.expect(instance_id)
        try:
            child = await self._around.launcher(self._spec(instance_id), output.feed)
        except LaunchError as ex:
            self._around.guard.expect_no_more(instance_id)
            self._become(ModuleStatus.FAILED_START, reason=str(ex))
            self._note(f"cannot be launched: {ex}", "error")
            return None
        self._around.guard.watch(child.pid, instance_id)
        self._become(
            ModuleStatus.STARTING,
            pid=child.pid,
            instance_id=instance_id,
            started_at=datetime.now(timezone.utc),
        )
        self._note(f"launched, pid {child.pid}")
        self._launched.set()
        now_s = self._around.timing.clock()
        self._liveness = self._new_liveness(now_s)
        return _Run(instance_id, child, output, now_s, self._liveness, FreeMemory())

    def _new_liveness(self, now_s: float) -> Liveness:
        timing, launch = self._around.timing, self.module.launch
        limits = SilenceLimits(
            timing.silent_s,
            timing.slow_silent_s,
            launch.max_silent_s,
            launch.max_start_s,
            launch.max_test_s,
        )
        return Liveness(limits, timing.look_every_s, now_s)

    def _spec(self, instance_id: str) -> LaunchSpec:
        module = self.module
        command = launch_command(module)
        if not module.path.is_dir():
            raise LaunchError(f"the module's folder {module.path} is not there")
        if not os.path.isfile(command[-1]):
            raise LaunchError(f"LaunchSettings.FilePath: there is no file {command[-1]}")
        base = os.environ if self._around.base_env is None else self._around.base_env
        env = module_environment(module, self._around.server, instance_id, base, self._environment)
        env |= {**self._around.more_env(instance_id), **self._safe_mode.environment()}
        return LaunchSpec(command, module.path, env)

    async def _watch(self, run: _Run) -> bool:
        """See one launch to its end; True when the module is to be launched again."""
        try:
            stopped_how = await self._until_exit(run)
        finally:
            run.child.kill()  # nothing to do, unless this task was cancelled
            await run.child.close()
            self._around.guard.forget(run.child.pid)
            run.output.finish()
        if stopped_how is not None:
            ending = Ending.forced(stopped_how)
        else:
            said = run.output.last_lines()
            ending = Ending.own(run.child.returncode, said, run.memory.last_bytes)
        pause_s = self._judge(run, ending)
        await self._tell_exit(run.instance_id, ending.told(self._was_ready))
        if pause_s is None:
            return False
        await self._sleep(pause_s)
        return not self._stop.is_set()

    async def _until_exit(self, run: _Run) -> str | None:
        """Wait for the process to end, or end it when a stop is wanted, or when it hangs.

        None when it ended by itself; else how, or why, it was ended.
        """
        exited = asyncio.ensure_future(run.child.wait())
        stop = asyncio.ensure_future(self._stop.wait())
        timing = self._around.timing
        try:
            while True:
                await asyncio.wait(
                    {exited, stop},
                    timeout=timing.look_every_s,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if exited.done():
                    return None
                if stop.done():
                    return await self._end(run, exited)
                run.memory.look()
                if (fault := run.liveness.fault(timing.clock())) is not None:
                    return await self._end_hung(run, exited, fault)
        finally:
            await _cancelled(exited, stop)

    async def _end(self, run: _Run, exited: asyncio.Future[int]) -> str:
        """The ladder: ask, terminate, kill. Returns which step it took."""
        was_ready = self.state.status is ModuleStatus.STARTED
        self._become(ModuleStatus.STOPPING)
        if was_ready and await self._has_quit(run, exited, self._around.timing.ladder.grace_s):
            return "stopped on request"
        return await self._force(run, exited)

    async def _end_hung(self, run: _Run, exited: asyncio.Future[int], fault: str) -> str:
        """One that does not listen is not asked. Returns what was wrong with it."""
        self._become(ModuleStatus.RESTARTING, reason=fault)
        self._note(f"hangs: {fault}; it is being ended", "error")
        await self._force(run, exited)
        return fault

    async def _force(self, run: _Run, exited: asyncio.Future[int]) -> str:
        ladder = self._around.timing.ladder
        run.child.terminate()
        if await _is_done(exited, ladder.terminate_s):
            return "stopped by SIGTERM"
        run.child.kill()
        if await _is_done(exited, ladder.kill_s):
            self._note("did not end when asked to: killed", "warning")
            return "stopped by SIGKILL"
        self._note(f"pid {run.child.pid} does not end, even when killed", "error")
        return "could not be killed"

    async def _has_quit(self, run: _Run, exited: asyncio.Future[int], grace_s: float) -> bool:
        """Ask it to quit; a module that has not spoken yet cannot hear that."""
        asking = asyncio.ensure_future(
            self._around.hooks.request_quit(self.module.id, run.instance_id)
        )
        try:
            return await _is_done(exited, grace_s)
        finally:
            await _cancelled(asking)
            if not asking.cancelled() and asking.exception() is not None:
                _logger.warning("request to quit: %r", asking.exception())

    async def _tell_exit(self, instance_id: str, reason: str) -> None:
        try:
            await self._around.hooks.on_exit(self.module.id, instance_id, reason)
        except Exception:
            _logger.exception("on_exit of module %s failed", self.module.id)

    def _judge(self, run: _Run, ending: Ending) -> float | None:
        """Set what a module is after its process ended; seconds until the next launch, if any."""
        reason = ending.told(self._was_ready)
        if self._stop.is_set():
            self._become(ModuleStatus.STOPPING, pid=None, instance_id=None, reason=reason)
            return None
        policy = self._around.timing.restarts
        has_lasted = self._around.timing.clock() - run.since_s >= policy.stable_after_s
        self._row.fail(was_stable=has_lasted and self._was_ready)
        goes_safe = self._safe_mode.judge(ending, self._was_ready)
        if self._row.is_given_up and not goes_safe:
            return self._give_up(reason, ending.reason)
        pause_s = self._row.pause_s()
        restarts = self.state.restarts + 1
        self._become(
            ModuleStatus.RESTARTING, pid=None, instance_id=None, restarts=restarts, reason=reason
        )
        how = "once more, in safe mode," if goes_safe else "again"
        self._note(f"crashed: {ending.reason}; launched {how} in {pause_s:g} s", "error")
        return pause_s

    def _give_up(self, told: str, reason: str) -> float | None:
        """Leave it alone: for a while, or until somebody starts it."""
        crashed = f"crashed {self._row.failures} times in a row; the last time: "
        pause_s = self._row.next_try_s()
        next_try_s, what = None, "left alone until it is started"
        if pause_s is not None:
            what = f"tried again in {pause_s:g} s"
            next_try_s = self._around.timing.clock() + pause_s
        self._become(
            ModuleStatus.CRASHED,
            pid=None,
            instance_id=None,
            reason=crashed + told,
            next_try_s=next_try_s,
        )
        self._note(f"{crashed}{reason}. It is {what}; `llamachat doctor` says more", "error")
        return pause_s

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not through a stop, nor when somebody wants it started."""
        sleeping = asyncio.ensure_future(self._around.timing.sleep(seconds))
        stop = asyncio.ensure_future(self._stop.wait())
        wanted = asyncio.ensure_future(self._wanted.wait())
        try:
            await asyncio.wait({sleeping, stop, wanted}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancelled(sleeping, stop, wanted)

    def _become(self, status: ModuleStatus, **changes: Any) -> None:
        state = replace(self.state, status=status, **changes)
        if state != self.state:
            self.state = state
            try:
                self._around.hooks.on_state(self.module.id, state)
            except Exception:  # a fault of the listener must not cost the process its watcher
                _logger.exception("on_state of module %s failed", self.module.id)

    def _note(self, text: str, level: str = "information") -> None:
        label = f"supervisor{self._mark}"
        self._around.log.add(text, level=level, category=self.module.id, label=label)


async def _is_done(future: asyncio.Future[int], timeout_s: float) -> bool:
    done, _ = await asyncio.wait({future}, timeout=timeout_s)
    return bool(done)


async def _cancelled(*futures: asyncio.Future[Any]) -> None:
    """Cancel what has not ended and see it end."""
    for future in futures:
        future.cancel()
    await asyncio.wait(futures)
