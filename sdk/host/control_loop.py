"""Keeps one poll open through which a protocol-2 host reaches the module at once.

Invariant: control never waits behind work; the next poll opens before anything slow is done about
the last one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from sdk.host.client import HostClient
from sdk.host.polls import Poll
from sdk.host.wire import Control, Work

logger = logging.getLogger(__name__)


class ControlLoop:
    """What is called for a message returns at once. Quit and drain get the reason, in words."""

    def __init__(
        self,
        client: HostClient,
        on_cancel: Callable[[str], object],
        on_request: Callable[[Work], None],
        on_quit: Callable[[str], None],
        on_drain: Callable[[str], None],
    ) -> None:
        self._poll = Poll(client.poll_control)
        self._on_cancel = on_cancel
        self._on_request = on_request
        self._on_quit = on_quit
        self._on_drain = on_drain

    async def run(self) -> None:
        while True:
            for control in await self._poll.once() or []:
                self._obey(control)

    def _obey(self, control: Control) -> None:
        if control.kind == "cancel":
            self._on_cancel(control.command_id)
        elif control.kind == "quit":
            self._on_quit("the host asked")
        elif control.kind == "drain":
            self._on_drain("the host asked")
        elif control.work is not None:
            self._on_request(control.work)
        else:
            logger.warning("unknown control message: %s", control.kind)
