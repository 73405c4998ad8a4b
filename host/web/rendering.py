"""Markdown rendered in a process of its own: the parser holds Python's lock while it works, and it
works on some texts for a second.

Invariants: one text is rendered at a time, few wait, and none takes longer than its limit: the
process is ended then, and another begun for the next. It is begun when it is first needed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from host.web.render_worker import LENGTH, frame

MOST_WAITING = 8
LIMIT_S = 3.0  # the worst text of the allowed length takes about one second of a usual processor
START_S = 30.0
BUSY_MS = 1000

_ROOT = Path(__file__).parents[2]  # where the package `host` lies


class NotRendered(Exception):
    """The text is to be shown as it is: for now, or for good."""

    def __init__(self, error: str, *, is_for_now: bool) -> None:
        super().__init__(error)
        self.is_for_now = is_for_now


class MarkdownRenderer:
    """Of one host."""

    def __init__(self, limit_s: float = LIMIT_S, most_waiting: int = MOST_WAITING) -> None:
        self._limit_s = limit_s
        self._most_waiting = most_waiting
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[bytes]] = set()
        self._process: Process | None = None

    async def render(self, text: str, *, is_growing: bool = False) -> bytes:
        """The JSON that the page gets, with the sanitized HTML. Raises NotRendered."""
        if len(self._tasks) > self._most_waiting:
            error = f"{self._most_waiting} texts wait to be rendered: ask again in a moment"
            raise NotRendered(error, is_for_now=True)
        question = json.dumps({"text": text, "isGrowing": is_growing}).encode()
        task = asyncio.create_task(self._in_turn(question))
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)  # who leaves must not leave half an answer in the pipe

    def _forget(self, task: asyncio.Task[bytes]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked may have left

    async def close(self) -> None:
        """End the process; nobody waits any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._end()

    async def _in_turn(self, question: bytes) -> bytes:
        async with self._turn:
            try:
                process = await self._begun()
                return await asyncio.wait_for(_exchange(process, question), self._limit_s)
            except asyncio.TimeoutError:
                await self._end()
                error = f"this text takes longer than {self._limit_s:g} s to render"
                raise NotRendered(error, is_for_now=False) from None
            except (OSError, asyncio.IncompleteReadError) as error:
                await self._end()
                said = f"the process that renders Markdown has ended: {error!r}"
                raise NotRendered(said, is_for_now=True) from error

    async def _begun(self) -> Process:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "host.web.render_worker"),
                stdin=PIPE,
                stdout=PIPE,
                cwd=_ROOT,
                start_new_session=True,  # Ctrl-C is for the host
            )
            await asyncio.wait_for(_frame(self._process), START_S)
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _exchange(process: Process, question: bytes) -> bytes:
    assert process.stdin is not None  # noqa: S101
    process.stdin.write(frame(question))
    await process.stdin.drain()
    return await _frame(process)


async def _frame(process: Process) -> bytes:
    assert process.stdout is not None  # noqa: S101
    (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
    return await process.stdout.readexactly(length)
