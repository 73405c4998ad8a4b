"""The module's own self-test, as a verdict.

Invariant: it ends, and it never raises: a test that raises, hangs or returns nonsense has failed,
with the reason.
"""

from __future__ import annotations

import asyncio
import logging

from sdk.host.errors import describe
from sdk.process.hooks import ModuleHooks
from sdk.work import answers
from sdk.work.module_threads import ModuleThreads

logger = logging.getLogger(__name__)

LIMIT_S = 600.0
"""For whoever has no host that watches: ours ends such a module after `MaxTestSecs`, 300."""


async def self_test(module: ModuleHooks, threads: ModuleThreads) -> str | None:
    """Why the module does not work, None if it does. After `initialise()`."""
    module._performing_self_test = True
    call = asyncio.ensure_future(threads.call(module.selftest))
    try:
        await asyncio.wait({call}, timeout=LIMIT_S)
        if not call.done():
            return f"selftest() has not ended within {LIMIT_S:g} s"
        result = answers.complete(call.result(), "selftest()")
    except Exception as error:
        logger.debug("self-test raised", exc_info=error)
        return f"{type(error).__name__}: {describe(error)}"
    finally:
        call.cancel()
        module._performing_self_test = False
    return None if result["success"] else str(result["error"])
