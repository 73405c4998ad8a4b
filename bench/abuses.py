"""What an abusive client sends: one entry for each kind, for bench/abuse.py."""

from __future__ import annotations

import asyncio
import json
import urllib.request
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
MULTIPART = "multipart/form-data; boundary=b"
PATH = "/v1/bench/tell"
KEYS = 60_000
MB = 2**20


@dataclass
class Abuse:
    """`body` is made once; `head` lines follow it. Without an answer, as of half a request, the
    connection is kept for `holds_s`."""

    body: Callable[[], bytes] = bytes
    content_type: str = FORM
    more: str = ""
    connections: int = 4
    method: str = "POST"
    path: str = PATH
    holds_s: float = 0.0
    is_half: bool = False
    is_repeated: bool = True
    patience_s: float = 60.0
    _body: bytes = field(default=b"", repr=False)

    async def prepare(self, url: str) -> None:
        self._body = self.body()
        if "{id}" in self.path:
            data = json.dumps({"prompt": "mine"}).encode()
            request = urllib.request.Request(url + PATH, data, {"Content-Type": JSON})  # noqa: S310
            with urllib.request.urlopen(request) as reply:  # noqa: S310, ASYNC210
                self.path = self.path.format(id=json.load(reply)["commandId"])

    def request(self, host: str) -> bytes:
        lines = f"{self.method} {self.path} HTTP/1.1\r\nHost: {host}\r\n{self.more}"
        if self.is_half:
            return (lines + "X-Slow: ").encode()
        if self._body:
            lines += f"Content-Type: {self.content_type}\r\nContent-Length: {len(self._body)}\r\n"
        return lines.encode() + b"\r\n" + self._body

    async def __call__(
        self,
        host: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answers: Counter[str],
    ) -> None:
        """One request on one connection; what comes is counted by its status."""
        writer.write(self.request(host))
        reading = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
        try:
            head = await asyncio.wait_for(reading, self.holds_s or self.patience_s)
            answers[head.split(b" ")[1].decode()] += 1
            if self.holds_s:
                await asyncio.sleep(self.holds_s)
        except asyncio.TimeoutError:
            answers["held" if self.holds_s else "no answer"] += 1


def _parts(count: int) -> bytes:
    one = b'--b\r\nContent-Disposition: form-data; name="k%d"\r\n\r\nv\r\n'
    return b"".join(one % number for number in range(count)) + b"--b--\r\n"


def _shape() -> bytes:
    values = [{"key": f"k{number}", "value": ["v"]} for number in range(KEYS)]
    return json.dumps({"values": values}).encode()


def _large() -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    return head + b"x" * (16 * MB - 200) + b"\r\n--b--\r\n"


def _bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(bytes(MB)) for _ in range(2000)) + packer.flush()


def _keys(template: str) -> bytes:
    return "&".join(template % number for number in range(KEYS)).encode()


ABUSES = {
    "nothing": Abuse(method="GET", path="/v1/status/ping", connections=1),
    "keys-form": Abuse(lambda: _keys("k%d=v")),
    "keys-json": Abuse(lambda: json.dumps(dict.fromkeys(map(str, range(KEYS)), 1)).encode(), JSON),
    "keys-shape": Abuse(_shape, JSON),
    "keys-parts": Abuse(lambda: _parts(KEYS), MULTIPART),
    "values": Abuse(lambda: b'{"prompt": [' + b"1," * KEYS + b"1]}", JSON),
    "percents": Abuse(lambda: b"prompt=" + b"%41" * (5 * MB)),
    "parts": Abuse(lambda: _parts(10_000), MULTIPART),
    "lines": Abuse(lambda: b"\r\n" * (7 * MB), MULTIPART),
    "deep-json": Abuse(lambda: b"[" * (15 * MB), JSON),
    "wide-json": Abuse(lambda: b'{"prompt": [' + b"[]," * (5 * MB) + b"[]]}", JSON),
    "quotes": Abuse(lambda: b'{"prompt": "' + b'\\"' * (7 * MB) + b'"}', JSON),
    "bodies": Abuse(_large, MULTIPART, connections=100),
    "gzip-bomb": Abuse(_bomb, FORM, "Content-Encoding: gzip\r\n"),
    "headers": Abuse(more="X: y\r\n" * 10_000, method="GET"),
    "starts": Abuse(lambda: b"prompt=x", connections=32),
    "segments": Abuse(path=PATH + "/a" * 3900, connections=16, method="GET"),
    "slow": Abuse(is_half=True, connections=2000, holds_s=5.0),
    "readers": Abuse(
        method="GET",
        path="/v1/commands/{id}/events",
        connections=5000,
        holds_s=5.0,
        is_repeated=False,
    ),
}
