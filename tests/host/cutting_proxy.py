"""A connection between a host and its Redis that breaks when the test says so."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit


class CuttingProxy:
    """Passes bytes on; `cut_next_answer` hangs up instead of passing on what Redis answers next.

    What was asked has then been carried out, and nobody heard of it.
    """

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._target = (str(address.hostname), int(address.port or 6379))
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._mark: bytes | None = None
        self._is_cutting = False
        self.cuts = 0
        self.url = ""

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut_next_answer(self, mark: str) -> None:
        """To the next thing that is asked with `mark` in it."""
        self._mark = mark.encode()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection(*self._target)
        jobs = (self._ask(reader, to_there), self._answer(there, writer))
        tasks = [asyncio.create_task(job) for job in jobs]
        self._tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for one in (writer, to_there):
            one.close()

    async def _ask(self, reader: asyncio.StreamReader, to_there: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self._mark is not None and self._mark in data:
                self._is_cutting, self._mark = True, None
            to_there.write(data)

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await there.read(65536):
            if self._is_cutting:
                self._is_cutting = False
                self.cuts += 1
                return
            writer.write(data)
