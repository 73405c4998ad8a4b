"""Tells the host how the running commands get on.

Invariant: one request in flight at a time carries all commands; text goes out from the offset that
the host says it holds; a result goes out with the last of its text, and is repeated until the host
has accepted or refused it. A command that this module gave up has text, and no result.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from sdk.host.errors import HostRefused, HostUnavailable
from sdk.host.output import REPLY, Channel, Output
from sdk.host.tasks import Backoff, Wake
from sdk.host.wire import CommandProgress, CommandReceipt, ProgressReply, ProgressReport, Work

logger = logging.getLogger(__name__)

BATCH_S = 0.05
"""Requests are no closer together: each costs the processor about 3 ms here, in the host and at the
reader's, and the model's threads wait for that."""
HEARTBEAT_S = 2.0
MAX_TEXT_PER_REPORT = 32_768
"""Code points of one command in one request, so that a long absence cannot make a huge body."""


class ReportedCommand(Protocol):
    """A command whose progress is told, from its start to its end."""

    work: Work
    is_given_up: bool
    """The module ends before it: it has text, and no result."""
    result: dict[str, Any] | None

    @property
    def output(self) -> Output: ...
    @property
    def is_finished(self) -> bool: ...
    def cancel(self) -> object: ...


class CommandReport:
    """What the host is known to hold of one command, and what it is to be sent next."""

    def __init__(self, command: ReportedCommand) -> None:
        self.command = command
        self._held: dict[Channel, int] = {REPLY: 0}
        self._acked_version = 0
        self._sent_version = 0
        self._sent_result = False
        self.is_settled = False

    def has_news(self) -> bool:
        output = self.command.output
        _, version = output.fields()
        return (
            self.command.is_finished or output.total > self.acked or version > self._acked_version
        )

    def is_urgent(self) -> bool:
        return self.command.is_finished or 0 == self.acked < self.command.output.total

    @property
    def acked(self) -> int:
        """Code points of all channels that the host is known to hold."""
        return sum(self._held.values())

    def build(self) -> CommandProgress:
        """The next entry; after a lost answer it repeats what may not have arrived."""
        is_finished = self.command.is_finished  # asked first: the text is complete from then on
        output = self.command.output
        length, pieces = output.total, output.lacking(self._held, MAX_TEXT_PER_REPORT)
        fields, self._sent_version = output.fields()
        entry: CommandProgress = {
            "commandId": self.command.work.request_id,
            "attempt": self.command.work.attempt,
            "offset": self._held[REPLY],
            "text": "",
            "fields": fields if self._sent_version > self._acked_version else {},
        }
        if output.has_reply_alone:
            entry["text"] = "".join(piece["text"] for piece in pieces)
        else:
            entry["pieces"] = pieces
        sent = sum(len(piece["text"]) for piece in pieces)
        self._sent_result = is_finished and self.acked + sent >= length
        is_own_end = not self.command.is_given_up
        if self._sent_result and is_own_end and self.command.result is not None:
            entry["result"] = self.command.result
        return entry

    def apply(self, receipt: CommandReceipt) -> bool:
        """Takes in the host's answer to the last entry; False if it brought nothing forward."""
        if not receipt.accepted:
            self.is_settled = True
            return True
        before = (self.acked, self._acked_version)
        for held in receipt.channels:
            channel = Channel(held["channel"], held.get("index"), held.get("name", ""))
            self._held[channel] = self._bounded(channel, held["offset"])
        self._held[REPLY] = self._bounded(REPLY, receipt.offset)
        self._acked_version = self._sent_version
        self.is_settled = self._sent_result and self.acked == self.command.output.total
        moved = before != (self.acked, self._acked_version)
        return moved or self.is_settled or not self.has_news()

    def _bounded(self, channel: Channel, offset: int) -> int:
        return max(0, min(offset, self.command.output.length(channel)))


class ProgressReporter:
    """`track()` a command when it starts; `run()` until cancelled; `drain()` at the end.

    `wake` rings with news, `urgent` when a reply begins or ends: its first and its last words do
    not wait for more to go with them.
    """

    def __init__(
        self,
        send: Callable[[ProgressReport], Awaitable[ProgressReply]],
        cancel: Callable[[str], object],
        wake: Wake,
        urgent: Wake,
    ) -> None:
        self._send = send
        self._cancel = cancel
        self._wake = wake
        self._urgent = urgent
        self._reports: dict[str, CommandReport] = {}
        self._backoff = Backoff()
        self._is_host_away = False
        self._all_settled = asyncio.Event()
        self._all_settled.set()

    def track(self, command: ReportedCommand) -> None:
        self._reports[command.work.request_id] = CommandReport(command)
        self._all_settled.clear()

    def tracked(self) -> list[str]:
        """The commands whose end the host has not confirmed."""
        return list(self._reports)

    async def drain(self, timeout_s: float) -> bool:
        """Waits until the host has all results; False if `timeout_s` was not enough."""
        try:
            await asyncio.wait_for(self._all_settled.wait(), timeout_s)
        except asyncio.TimeoutError:
            return False
        return True

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        sent_s = -HEARTBEAT_S
        while True:
            await self._until_due(sent_s + HEARTBEAT_S)
            is_urgent = any(report.is_urgent() for report in self._reports.values())
            await self._urgent.wait(0 if is_urgent else sent_s + BATCH_S - loop.time())
            sent_s = loop.time()
            if self._reports and not await self._exchange():
                await self._backoff.pause()

    async def _until_due(self, heartbeat_s: float) -> None:
        """Returns when there is news, or at the latest when the heartbeat is due."""
        loop = asyncio.get_running_loop()
        while not any(report.has_news() for report in self._reports.values()):
            left_s = heartbeat_s - loop.time() if self._reports else HEARTBEAT_S
            if left_s <= 0 or not await self._wake.wait(left_s):
                return

    async def _exchange(self) -> bool:
        """One request and its answer; False if it is better to wait before the next."""
        reports = list(self._reports.values())
        try:
            reply = await self._send({"commands": [report.build() for report in reports]})
        except (HostUnavailable, HostRefused) as error:
            if not self._is_host_away:
                logger.warning("progress not delivered, will go on trying: %s", error)
            self._is_host_away = True
            return False
        if self._is_host_away:
            logger.info("the host takes progress again")
        self._is_host_away = False
        is_forward = self._take_in(reports, reply)
        if is_forward:
            self._backoff.reset()
        return is_forward

    def _take_in(self, reports: list[CommandReport], reply: ProgressReply) -> bool:
        receipts = {receipt.command_id: receipt for receipt in reply.receipts}
        is_forward = True
        for report in reports:
            receipt = receipts.get(report.command.work.request_id)
            is_forward &= receipt is not None and report.apply(receipt)
            if receipt is not None and not receipt.accepted:
                logger.warning("the host gave up %s: %s", receipt.command_id, receipt.error)
                report.command.cancel()  # this attempt, not whatever has the id by now
            if report.is_settled:
                self._forget(report)
        for command_id in reply.cancel:
            self._cancel(command_id)
        return is_forward

    def _forget(self, report: CommandReport) -> None:
        if self._reports.get(report.command.work.request_id) is report:
            del self._reports[report.command.work.request_id]
        if not self._reports:
            self._all_settled.set()
