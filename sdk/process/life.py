"""The module as a process: signals, the host's death, the self-test, and an end that surely comes.

Invariant: once told to quit, the process is gone within about two seconds; so it is when its host
has died, unless other hosts serve the same commands: then it finishes what it runs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from sdk.host.errors import describe
from sdk.process.hooks import ModuleHooks
from sdk.process.launch import Launch
from sdk.process.module_logging import LogVerbosity
from sdk.process.module_service import ModuleService
from sdk.process.self_test import self_test
from sdk.work.module_threads import ModuleThreads

logger = logging.getLogger(__name__)

PARENT_POLL_S = 1.0
LAST_RESORT_S = 2.2


def run_as_process(module: ModuleHooks, launch: Launch) -> None:
    """Returns only after a quit with nothing left running; every other end is an exit."""
    configure_console(module.log_verbosity)
    stuck_threads, exit_code = asyncio.run(_serve(module, launch))
    if stuck_threads:
        # A daemon thread inside native code (a model decoding, say) can crash an interpreter that
        # is being taken apart around it: leave without taking it apart.
        end_now(exit_code)
    if exit_code:
        sys.exit(exit_code)


def configure_console(verbosity: LogVerbosity) -> None:
    """The module's and the SDK's own words always show; those of libraries only when asked for."""
    libraries = logging.WARNING if verbosity is LogVerbosity.Quiet else logging.INFO
    own = logging.DEBUG if verbosity is LogVerbosity.Loud else logging.INFO
    logging.basicConfig(level=libraries, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("sdk").setLevel(own)


def self_test_as_process(module: ModuleHooks) -> NoReturn:
    """Exits with 0, or with 1 and the reason on stderr. No host is needed."""
    configure_console(module.log_verbosity)
    sys.exit(asyncio.run(run_selftest(module)))


async def run_selftest(module: ModuleHooks) -> int:
    """initialise(), selftest(), cleanup(): the exit code, 1 with the reason on stderr."""
    threads = ModuleThreads()
    module._performing_self_test = True
    try:
        await threads.call(module.initialize)
        reason = await self_test(module, threads)
        await threads.call(module.cleanup)
    except Exception as error:
        logger.debug("self-test raised", exc_info=error)
        reason = f"{type(error).__name__}: {describe(error)}"
    finally:
        module.logger.flush_to_console()
    if reason is None:
        return 0
    sys.stderr.write(f"{module.module_id} self-test failed: {reason}\n")
    return 1


def arm_watchdog() -> None:
    """The last resort: if the orderly end is held up, by a blocked event loop for instance, end."""
    timer = threading.Timer(LAST_RESORT_S, end_now, args=(0,))
    timer.daemon = True
    timer.start()


def end_now(exit_code: int) -> NoReturn:
    """Leaves at once, with what was written to the console flushed."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass  # the host that read it is gone
    os._exit(exit_code)


async def _serve(module: ModuleHooks, launch: Launch) -> tuple[int, int]:
    service = ModuleService(module, launch, arm_watchdog)
    install_signals(asyncio.get_running_loop(), service.quit, module.launched_by_server)
    watch = None
    if module.launched_by_server:
        on_gone = service.drain if launch.is_store_shared else service.quit
        watch = asyncio.ensure_future(watch_parent(os.getppid(), on_gone))
    try:
        exit_code = await service.run()
    finally:
        if watch is not None:
            watch.cancel()
    return service.threads.alive_count(), exit_code


def install_signals(
    loop: asyncio.AbstractEventLoop, quit_service: Callable[[str], None], is_launched_by_host: bool
) -> None:
    """SIGTERM quits. SIGINT quits too, unless a host launched this process: Ctrl-C in a terminal
    reaches the whole group, and the host decides what becomes of its modules."""

    def on_signal(number: int, _: object) -> None:
        arm_watchdog()
        loop.call_soon_threadsafe(quit_service, f"signal {signal.Signals(number).name}")

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, signal.SIG_IGN if is_launched_by_host else on_signal)


async def watch_parent(parent_pid: int, on_gone: Callable[[str], None]) -> None:
    """Calls it when the host is gone: an orphan is given another parent (not so on Windows)."""
    while os.getppid() == parent_pid:  # noqa: ASYNC110 - nothing tells us, we have to look
        await asyncio.sleep(PARENT_POLL_S)
    on_gone("the host is gone")
