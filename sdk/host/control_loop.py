"""Keeps one poll open through which a protocol-2 host reaches the module at once.

Invariant: control never waits behind work; the next poll opens before anything slow is done about
the last one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from sdk.host.client import HostClient
from sdk.host.polls import Poll
from sdk.host.wire import Control, Work

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ControlLoop:
    """What is called for a message returns at once. Quit and drain get the reason, in words."""

    client: HostClient
    on_cancel: Callable[[str], object]
    on_request: Callable[[Work], None]
    on_quit: Callable[[str], None]
    on_drain: Callable[[str], None]

    async def run(self) -> NoReturn:
        poll = Poll(self.client.poll_control)
        while True:
            for control in await poll.once() or []:
                self._obey(control)

    def _obey(self, control: Control) -> None:
        if control.kind == "cancel":
            self.on_cancel(control.command_id)
        elif control.kind == "quit":
            self.on_quit("the host asked")
        elif control.kind == "drain":
            self.on_drain("the host asked")
        elif control.work is not None:
            self.on_request(control.work)
        else:
            logger.warning("unknown control message: %s", control.kind)
