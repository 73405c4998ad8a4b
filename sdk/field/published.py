"""Runs a long process written in the published style: a bare callable returned from `process()`.

Such an adapter keeps one reply and one cancelled flag for all its commands, has a
`command_status()` and a `cancel_command_task()` that take no id, and knows no `RunningCommand`.

Invariant: the adapter hears of a cancel only while the very command that was cancelled is running,
and one command runs at a time, so the one reply and the one flag belong to that command.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any, Protocol

from sdk.host.errors import describe
from sdk.host.wire import clean_text, encode_json
from sdk.work import answers
from sdk.work.command_board import LongCommand
from sdk.work.long_process import RESERVED_FIELDS
from sdk.work.module_threads import ModuleThreads

logger = logging.getLogger(__name__)

POLL_S = 0.2
SHARED_STATE = {"cancelled": False, "reply_text": ""}


class PublishedAdapter(Protocol):
    """What the published style asks of an adapter."""

    force_shutdown: bool

    def command_status(self) -> Any: ...
    def cancel_command_task(self) -> Any: ...


class PublishedStyle:
    """The long commands of one adapter."""

    def __init__(self, adapter: PublishedAdapter, threads: ModuleThreads) -> None:
        self._adapter = adapter
        self._threads = threads
        self._turn = asyncio.Lock()

    async def run(self, command: LongCommand, fn: Callable[..., Any]) -> None:
        async with self._turn:
            if not command.is_finished:  # cancelled while it waited: the adapter never hears
                command.start()
                await _PublishedRun(self._adapter, fn, command, self._threads).run()


class _PublishedRun:
    """One run of one bare callable."""

    def __init__(
        self,
        adapter: PublishedAdapter,
        fn: Callable[..., Any],
        command: LongCommand,
        threads: ModuleThreads,
    ) -> None:
        self._adapter = adapter
        self._fn = fn
        self._command = command
        self._threads = threads
        self._stale_reply = ""
        self._has_warned = False

    async def run(self) -> None:
        """Returns when the callable has really ended, which may be after its command did."""
        forget_last_command(self._adapter)
        self._stale_reply = clean_text(str((await self._status()).get("reply") or ""))
        if self._command.running.is_cancelled:
            self._command.finish(answers.cancelled())
            return
        call = asyncio.ensure_future(self._threads.call(self._fn, self._command.data))
        try:
            while not await self._is_done(call):
                await self._attend(call)
        finally:
            call.cancel()
        self._command.finish(answers.long_result(call, self._command.running))

    async def _is_done(self, call: asyncio.Future[Any]) -> bool:
        """Waits for the callable's end, one poll interval at most, less if a cancel comes."""
        if self._command.running.is_cancelled:
            await asyncio.wait({call}, timeout=POLL_S)
            return call.done()
        cancel = asyncio.ensure_future(self._command.cancel_requested.wait())
        try:
            await asyncio.wait({call, cancel}, timeout=POLL_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            cancel.cancel()
        return call.done()

    async def _attend(self, call: asyncio.Future[Any]) -> None:
        if self._command.is_finished:
            return
        self._show(await self._status())
        if self._command.running.is_cancelled:
            await self._pass_on_cancel(call)

    async def _pass_on_cancel(self, call: asyncio.Future[Any]) -> None:
        """Tells the adapter, again at every poll: one that clears its flag as it starts up would
        otherwise miss a cancel that came a moment too early."""
        if call.done():
            return  # the flag would stay set and hit the next command
        try:
            await self._threads.call(self._adapter.cancel_command_task)
        except Exception as error:
            logger.warning("cancel_command_task() failed: %s", describe(error), exc_info=error)
        if self._adapter.force_shutdown:
            self._command.finish(answers.cancelled())
            if inspect.iscoroutinefunction(self._fn):
                call.cancel()  # a thread cannot be ended; its slot stays taken until it is done

    async def _status(self) -> dict[str, Any]:
        try:
            status = await self._threads.call(self._adapter.command_status)
            encode_json(status)
        except Exception as error:
            if not self._has_warned:
                logger.warning("command_status() failed: %s", describe(error), exc_info=error)
            self._has_warned = True
            return {}
        return status if isinstance(status, dict) else {}

    def _show(self, status: dict[str, Any]) -> None:
        reply = status.get("reply")
        reply = clean_text(reply) if isinstance(reply, str) else ""
        running = self._command.running
        if reply != self._stale_reply:
            self._stale_reply = ""
            shown = running.text
            if reply.startswith(shown):
                running.append(reply[len(shown) :])
        known, _ = running.output.fields()
        fields = {str(key): value for key, value in status.items() if key not in RESERVED_FIELDS}
        if known | fields != known:
            running.set(**fields)


def forget_last_command(adapter: PublishedAdapter) -> None:
    """Clears what the style keeps per adapter: a cancel that came as the last command ended would
    kill the next one, and the last reply would be shown as the next one's."""
    for name, blank in SHARED_STATE.items():
        if type(getattr(adapter, name, None)) is type(blank):
            setattr(adapter, name, blank)
