"""A load generator of one file: the same request over keep-alive connections, as fast as answered.

    python bench/http_load.py '{"urls": ["http://127.0.0.1:32168"], "path": "/v1/stats", ...}'

It prints one JSON object: how many requests were answered in how many seconds, and how long the
answers took. It parses no more of an answer than it must, so that it is not what is measured.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Load:
    """What to send, over how many connections, until `seconds` are over or `count` are answered.

    `body` may have one `%d`, which each request fills with a number of its own.
    """

    urls: list[str]
    path: str
    method: str = "POST"
    body: str = ""
    content_type: str = "application/x-www-form-urlencoded"
    connections: int = 16
    seconds: float = 2.0
    count: int = 0

    def request(self, host: str, number: int) -> bytes:
        body = (self.body % number if "%d" in self.body else self.body).encode()
        head = (
            f"{self.method} {self.path} HTTP/1.1\r\nHost: {host}\r\n"
            f"Content-Type: {self.content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class Run:
    """One run: what its connections share."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.sent = 0
        self.took_s: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def is_over(self) -> bool:
        return self.done.done() or bool(self.load.count and self.sent >= self.load.count)

    def fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(reason))

    def answered(self, took_s: float) -> None:
        self.took_s.append(took_s)
        if len(self.took_s) == self.load.count and not self.done.done():
            self.done.set_result(None)


class Connection(asyncio.Protocol):
    """Sends the next request when the last one is answered."""

    def __init__(self, run: Run, host: str) -> None:
        self._run, self._host = run, host
        self._got = b""
        self._sent_s = 0.0
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        if self._run.is_over():
            return
        self._run.sent += 1
        self._sent_s = time.perf_counter()
        self._transport.write(self._run.load.request(self._host, self._run.sent))

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, separator, body = self._got.partition(b"\r\n\r\n")
        if not separator:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self._run.fail(self._got[:500].decode(errors="replace"))
            return
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) >= length:
            self._got = body[length:]
            self._run.answered(time.perf_counter() - self._sent_s)
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self._run.fail(f"a connection was lost: {error}")


async def run_load(load: Load) -> dict[str, float]:
    """Run the load. Raises RuntimeError for the first answer that is not 200."""
    loop = asyncio.get_running_loop()
    run = Run(load)
    begun_s = time.perf_counter()
    transports = []
    for number in range(load.connections):
        address = urlsplit(load.urls[number % len(load.urls)])
        host = address.netloc
        transport, _ = await loop.create_connection(
            lambda host=host: Connection(run, host),  # type: ignore[misc]
            address.hostname or "",
            address.port or 80,
        )
        transports.append(transport)
    timeout_s = None if load.count else load.seconds
    await asyncio.wait((run.done,), timeout=timeout_s)
    elapsed_s = time.perf_counter() - begun_s
    if run.done.done():
        run.done.result()
    run.done.cancel()
    for transport in transports:
        transport.close()
    took_ms = sorted(1000 * one for one in run.took_s) or [0.0]
    return {
        "requests": len(run.took_s),
        "per_s": len(run.took_s) / elapsed_s,
        "median_ms": took_ms[len(took_ms) // 2],
        "p99_ms": took_ms[int(0.99 * (len(took_ms) - 1))],
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run_load(Load(**json.loads(sys.argv[1]))))))
