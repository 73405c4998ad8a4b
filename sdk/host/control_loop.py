"""Keeps one poll open through which a protocol-2 host reaches the module at once.

Invariant: control never waits behind work; the next poll opens before anything slow is done about
the last one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from sdk.host.answer_sender import Outlet
from sdk.host.client import HostClient
from sdk.host.errors import HostRefused, HostUnavailable
from sdk.host.tasks import Backoff, TaskSet
from sdk.host.wire import Control, Work
from sdk.work.answers import failure
from sdk.work.command_board import CommandBoard
from sdk.work.system_commands import SystemCommands
from sdk.work.work_loop import answer_system

logger = logging.getLogger(__name__)


class ControlLoop:
    def __init__(
        self,
        client: HostClient,
        board: CommandBoard,
        system: SystemCommands,
        sender: Outlet,
        tasks: TaskSet,
        on_quit: Callable[[str], None],
        on_drain: Callable[[str], None],
    ) -> None:
        self._client = client
        self._board = board
        self._system = system
        self._sender = sender
        self._tasks = tasks
        self._on_quit = on_quit
        self._on_drain = on_drain

    async def run(self) -> None:
        backoff = Backoff()
        while True:
            try:
                controls = await self._client.poll_control()
            except (HostUnavailable, HostRefused) as error:
                logger.debug("no control: %s", error)
                await backoff.pause()
                continue
            backoff.reset()
            for control in controls:
                self._obey(control)

    def _obey(self, control: Control) -> None:
        if control.kind == "cancel":
            self._board.cancel(control.command_id)
        elif control.kind == "quit":
            self._on_quit("the host asked")
        elif control.kind == "drain":
            self._on_drain("the host asked")
        elif control.work is not None:
            self._answer(control.work)
        else:
            logger.warning("unknown control message: %s", control.kind)

    def _answer(self, work: Work) -> None:
        if self._system.knows(work):
            self._tasks.spawn(answer_system(self._system, self._sender, work))
        else:
            command = work.payload.get("command")
            self._sender.send(work, failure(f"{command} is no system command", 400))
