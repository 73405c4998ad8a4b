"""Tells the host every two seconds, and at every change of state, how the module is.

Invariant: a `module_status()` that raises, hangs or returns nonsense costs its own fields only; the
host keeps hearing from the module.
"""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Callable, Mapping
from typing import Any

from sdk.host.client import HostClient
from sdk.host.errors import HostRefused, HostUnavailable, describe
from sdk.host.tasks import Wake
from sdk.host.wire import encode_json
from sdk.process.hooks import ModuleHooks
from sdk.process.status_file import StatusFile
from sdk.work.module_threads import ModuleThreads
from sdk.work.readiness import Readiness
from sdk.work.slots import Slots

logger = logging.getLogger(__name__)

STATUS_EVERY_S = 2.0
MODULE_STATUS_TIMEOUT_S = 1.0


class StatusSource:
    """What the module says of itself, with what the SDK knows of it."""

    def __init__(
        self,
        module: ModuleHooks,
        slots: Slots,
        readiness: Readiness,
        threads: ModuleThreads,
        held: Callable[[], list[str]],
        steps: Callable[[], int],
    ) -> None:
        """`held()` are the ids of all commands that the module has and the host thinks it has;
        `steps()` grows with everything that any of them brings forth."""
        self._module = module
        self._slots = slots
        self._readiness = readiness
        self._threads = threads
        self._held = held
        self._steps = steps
        self._asking: asyncio.Task[Any] | None = None
        self._last: dict[str, Any] = {}

    async def read(self) -> dict[str, Any]:
        """The module's own words, then what is true at the time of returning."""
        return await self._own_words() | self.facts()

    def facts(self) -> dict[str, Any]:
        module = self._module
        return module.statistics() | {
            "inferenceDevice": str(module.inference_device),
            "inferenceLibrary": str(module.inference_library),
            "canUseGPU": str(module.can_use_GPU).lower(),
            "state": self._readiness.state,
            "error": self._readiness.error,
            "slots": self._slots.limit,
            "busy": self._slots.busy,
            "machine": platform.node(),
            "commands": self._held(),
            "steps": self._steps(),
        }

    async def _own_words(self) -> dict[str, Any]:
        """`module_status()`; the last answer while it takes too long."""
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._threads.call(self._module.module_status))
        await asyncio.wait({self._asking}, timeout=MODULE_STATUS_TIMEOUT_S)
        if self._asking is not None and self._asking.done():
            self._last = _usable(self._asking)
            self._asking = None
        return self._last


class StatusLoop:
    """Begin it at once; it tells the host from `host_is_known()` on. `file`: see status_file.py."""

    def __init__(self, client: HostClient, source: StatusSource, file: StatusFile) -> None:
        self._client = client
        self._source = source
        self._file = file
        self._wake = Wake()
        self._is_host_known = False

    def state_changed(self) -> None:
        self._wake.ring()

    def host_is_known(self) -> None:
        """What the host speaks is settled: how a status is sent depends on it."""
        self._is_host_known = True
        self._wake.ring()

    async def run(self) -> None:
        while True:
            await self.send()
            await self._wake.wait(STATUS_EVERY_S)

    async def send(self) -> None:
        status = await self._source.read()
        self._file.write(status)
        await self._tell(status)

    async def say_goodbye(self, reason: str) -> None:
        """The last word: nothing is held any more. What was given up, others may have."""
        if self._is_host_known:
            facts = self._source.facts() | {"state": "stopped", "error": reason, "commands": []}
            await self._tell(facts)

    async def _tell(self, status: dict[str, Any]) -> None:
        if not self._is_host_known:
            return
        try:
            await self._client.module_status(status)
        except (HostUnavailable, HostRefused) as error:
            logger.debug("status not delivered: %s", error)


def _usable(call: asyncio.Task[Any]) -> dict[str, Any]:
    try:
        status = call.result()
        encode_json(status)
    except Exception as error:
        logger.warning("module_status() failed: %s", describe(error))
        return {}
    return dict(status) if isinstance(status, Mapping) else {}
