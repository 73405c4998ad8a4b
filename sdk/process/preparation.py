"""Makes a module ready: `initialise()`, then `selftest()`.

Invariant: it ends with the readiness settled, whatever the module's code does; a module that does
not work is not ready, however well it has loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from sdk.host.errors import describe
from sdk.process.hooks import ModuleHooks
from sdk.process.self_test import self_test
from sdk.work.module_threads import ModuleThreads
from sdk.work.readiness import Readiness

logger = logging.getLogger(__name__)


async def prepare(
    module: ModuleHooks,
    threads: ModuleThreads,
    readiness: Readiness,
    on_state: Callable[[], None],
) -> None:
    """`on_state` is called when the readiness's state has changed."""
    reason = await _load(module, threads)
    if reason is None:
        readiness.begin_test()
        on_state()
        reason = await _test(module, threads)
    readiness.settle(reason)
    on_state()


async def _load(module: ModuleHooks, threads: ModuleThreads) -> str | None:
    """Why it could not be loaded."""
    try:
        await threads.call(module.initialize)
    except Exception as error:
        return _reported(module, "initialise() failed", describe(error), error)
    return None


async def _test(module: ModuleHooks, threads: ModuleThreads) -> str | None:
    reason = await self_test(module, threads)
    if reason is None:
        return None
    return _reported(module, "the self-test failed", f"its self-test failed: {reason}", None)


def _reported(module: ModuleHooks, what: str, reason: str, error: Exception | None) -> str:
    logger.error("%s: %s", what, reason, exc_info=error)
    module.report_error(error, type(module).__name__, reason)
    return reason
