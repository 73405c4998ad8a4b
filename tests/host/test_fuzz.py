"""Whatever is sent, on any path: no 500, no hang, no line in the log that a request forged."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fuzz import FORGED, Fuzz
from puppet import Caller, Puppet, running_host, write_root

from host.app import Host
from host.log.log_files import LogFiles
from host.web import clients, modules

# aiohttp warns of odd parts, and leaves a page's file to the collector when its reader hangs up.
pytestmark = [
    pytest.mark.filterwarnings("ignore::aiohttp.multipart.BadContentDispositionHeader"),
    pytest.mark.filterwarnings("ignore::aiohttp.multipart.BadContentDispositionParam"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*explorer:pytest.PytestUnraisableExceptionWarning"),
]

SEED = os.environ.get("FUZZ_SEED", "walls")
AT_ONCE = 16
ANSWER_S = 30.0  # a hang is what takes longer, on a busy machine too


class Sender:
    """Sends what a Fuzz makes, and learns the ids that are given out."""

    def __init__(self, host: Host) -> None:
        self.port = host.server.port
        assert host._runner is not None
        self.fuzz = Fuzz(host._runner.app, f"127.0.0.1:{self.port}", SEED)
        self.statuses: dict[int, int] = {}

    async def run(self, numbers: range, rare: bool = False) -> None:
        left = iter(numbers)

        async def work() -> None:
            for number in left:
                await self.one(number, rare)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))

    async def one(self, number: int, rare: bool) -> None:
        raw, is_http = self.fuzz.request(number, rare)
        told = f"FUZZ_SEED={SEED!r}, request {number}: {raw[:3_000]!r}"
        try:
            answer = await asyncio.wait_for(self._sent(raw, is_http), ANSWER_S)
        except asyncio.TimeoutError:
            pytest.fail(f"no answer in {ANSWER_S:g} s. {told}")
        assert answer or not is_http, f"no answer. {told}"
        if answer.startswith(b"HTTP/1.1 "):
            status = int(answer[9:12])
            self.statuses[status] = self.statuses.get(status, 0) + 1
            is_hosts = b'"moduleId"' not in answer  # a module's own failure is a 500 as well
            assert status != 500 or not is_hosts, f"{answer[-900:]!r}. {told}"
            self._learn(answer)

    async def _sent(self, raw: bytes, is_http: bool) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        answer = b""
        try:
            writer.write(raw)
            await writer.drain()
            reading = asyncio.ensure_future(self._answer(reader))
            if not is_http:  # the host may wait for more of it: no more comes
                await asyncio.wait([reading], timeout=0.2)
                writer.write_eof()
            answer = await reading
        except ConnectionError:
            pass  # the host has hung up: it had read enough
        finally:
            writer.transport.abort()
        return answer

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        """The head, and a body of known length; of what only ends with the command, the head."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            return error.partial
        if b"Content-Length:" not in head:
            return head
        return head + await reader.read(100_000)

    def _learn(self, answer: bytes) -> None:
        try:
            body = json.loads(answer.partition(b"\r\n\r\n")[2])
        except ValueError:
            return
        for name, known in (
            ("commandId", self.fuzz.known),
            ("reqid", self.fuzz.known),
            ("attempt", self.fuzz.attempts),
        ):
            if isinstance(body, dict) and body.get("success", True) and body.get(name):
                known.append(str(body[name])[:100])


class Faults(logging.Handler):
    """What the host logs as a fault of its own, and what asyncio finds nobody looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.found.append(self.format(record))

    def unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.found.append(str(context))


@contextmanager
def watched(host: Host, folder: Path) -> Iterator[Faults]:
    faults, files = Faults(), LogFiles(folder / "logs", ["Puppet"])
    asyncio.get_running_loop().set_exception_handler(faults.unhandled)
    root = logging.getLogger()
    host.log.sinks.append(files.write)
    for handler in (files.host, faults):
        root.addHandler(handler)
    yield faults
    for handler in (files.host, faults):
        root.removeHandler(handler)
    files.close()


def forged_lines(folder: Path) -> list[str]:
    texts = [one.read_text(encoding="utf-8") for one in (folder / "logs").iterdir()]
    return [line for text in texts for line in text.splitlines() if line.startswith(FORGED)]


async def fuzz(tmp_path: Path, count: int) -> None:
    root = write_root(tmp_path, AllowedOrigins=["http://localhost:5173"])
    async with running_host(root) as host, aiohttp.ClientSession() as session:
        with watched(host, tmp_path) as faults:
            sender = Sender(host)
            await sender.run(range(count))
            assert {200, 204, 400, 403, 404, 405} <= set(sender.statuses), sender.statuses
            await works(host, session)
            await sender.run(range(count, count + count // 10), rare=True)
            assert (await Caller(session, host.url).call("GET", "/v1/status/ping"))[0] == 200
        assert not faults.found, f"FUZZ_SEED={SEED!r}: {faults.found[:3]}"
        assert not [one for one in host.log.list(0, 9_999) if not one.entry.isprintable()]
    assert not forged_lines(tmp_path)


async def works(host: Host, session: aiohttp.ClientSession) -> None:
    """After all of that a command goes its way from start to end."""
    client, puppet = Caller(session, host.url), Puppet(session, host.url, "after")
    await puppet.tell_status(state="ready")
    while await puppet.poll(wait=0):
        pass  # what the fuzz has left in the queue
    command_id = await client.tell()
    work = await puppet.take()
    assert work["reqid"] == command_id
    await puppet.finish(work, 0, "done")
    assert (await client.status(command_id))["reply"] == "done"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "LONG_POLL_LIMIT_S", 0.02)
    monkeypatch.setattr(clients, "ANSWER_LIMIT_S", 0.05)
    monkeypatch.setattr(clients, "STATUS_WAIT_LIMIT_S", 0.05)


async def test_a_few_hundred_requests(tmp_path: Path) -> None:
    await fuzz(tmp_path, 800)


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_twenty_thousand_requests(tmp_path: Path) -> None:
    await fuzz(tmp_path, 20_000)
