"""Requests that are nearly right, or not at all: made from a host's own route table and a seed.

A request goes by its seed and number alone, and by which ids are known, so that one that went wrong
can be sent again.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from random import Random
from typing import Any
from urllib.parse import quote, quote_from_bytes, urlencode

from aiohttp import web

FORGED = "2026-01-01 00:00:00,000 INFO    forged"
RARE = {"/v1/server/drain", "/v1/modules/{module_id}/restart"}  # they end what others need

_METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW"]
_ODD_TEXTS = [
    "", " ", "0", "-1", "1e309", "nan", "Infinity", "1" * 5_000, "\uff19", "t", "null", "[]", "{}",
    "\x00", "\x1b[2J", f"x\n{FORGED}", f"x\r\n{FORGED}", "\u2028" + FORGED, "\ud800", "a\udfffb",
    "\u202e", "🦙" * 50, "é" * 300, "a" * 5_000, "../../etc/passwd", "%", "%zz", "${x}",
    "[" * 3_000, '{"a":' * 3_000, '"', "\\", "9" * 30, "2026-13", "high", "p1", "quit", "ask-0",
]  # fmt: skip
_ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 2**70, 1e308, [], {}, [[]], [None], {"key": 1}, ["a", 1, None],
    [{"key": "prompt", "value": [1]}], [{"key": {}, "value": None}], {"a": {"b": [{}]}},
]  # fmt: skip
_NAMES = [
    "prompt", "max_tokens", "temperature", "seed", "aloud", "bias", "voice", "date", "commandId",
    "moduleId", "instanceId", "attempt", "offset", "sequence", "wait", "last_id", "count",
    "category", "entry", "label", "log_level", "statusData", "values", "files", "text", "commands",
    "success", "reply", "code", "commandStatus", "theme", "protocol", "error", "result",
    "fields", "pieces", "channel", "index", "name", "data", "state", "",
]  # fmt: skip
_STATUSES = ["ready", "failed", "stopped", "starting", None, 3, {"a": 1}]
_HEADERS = {
    "Origin": ["http://[", "null", "http://evil.example", "http://localhost:5173", "\xff"],
    "Host": ["127.0.0.1#.evil.test", "evil.example", "[::1", "", "localhost", "a" * 3_000],
    "Idempotency-Key": ["key-1", "key-2", "\xe9\xff", "k" * 5_000, ""],
    "Content-Encoding": ["gzip", "deflate", "br", "rot13", "identity", "gzip, gzip"],
    "Last-Event-ID": ["0", "5-done", "-done", "-1", "x", "9" * 5_000],
    "Authorization": ["Bearer", "Bearer \xff", "Basic eA==", "bearer " + "k" * 3_000],
    "Sec-Fetch-Site": ["none", "same-origin", "cross-site", "x"],
    "Referer": ["http://evil.example/", "x", "http://["],
    "User-Agent": ["Mozilla/5.0", "", "\xff"],
    "X-Forwarded-For": ["10.0.0.1", "x, y", "[::1]:5", ",,,"],
    "Expect": ["100-continue", "x"],
    "Range": ["bytes=0-1", "bytes=9-1", "x"],
    "If-Modified-Since": ["x", "Sat, 29 Oct 1994 19:43:31 GMT"],
    "Upgrade": ["websocket", "h2c"],
    "Access-Control-Request-Method": ["POST", "x"],
    "Content-Type": [
        "application/json; charset=nope",
        "text/plain",
        "image/png",
        "x",
        "multipart/",
    ],
}
_PART_HEADERS = [
    "nonsense", "Content-Transfer-Encoding: rot13", "Content-Transfer-Encoding: base64",
    "Content-Length: x", "Content-Type: text/plain; charset=nope", "X: a\x00b", "X: " + "y" * 9_000,
    "Content-Encoding: gzip", 'Content-Disposition: form-data; filename="%\xff"',
]  # fmt: skip


class Fuzz:
    """Requests number 0, 1, 2, ... of a seed. `known` are ids that the host has given out."""

    def __init__(self, app: web.Application, host: str, seed: str) -> None:
        self.host, self.seed = host, seed
        self.known: list[str] = ["unknown"]
        self.attempts: list[str] = ["unknown"]
        paths = {
            (route.method, resource.canonical)
            for resource in app.router.resources()
            for route in resource
        }
        self.routes = sorted(paths)

    def request(self, number: int, rare: bool = False) -> tuple[bytes, bool]:
        """The bytes of a request, and whether they are HTTP: others need not be answered."""
        dice = Random(f"{self.seed}:{number}")
        routes = [one for one in self.routes if rare or one[1] not in RARE]
        raw = _One(dice, self, routes).raw()
        if dice.random() < 0.2:
            return _mutated(dice, raw), False
        return raw, True


class _One:
    """One request in the making."""

    def __init__(self, dice: Random, fuzz: Fuzz, routes: Sequence[tuple[str, str]]) -> None:
        self.dice, self.fuzz = dice, fuzz
        self.method, self.path = dice.choice(routes)
        if self.method == "*" or dice.random() < 0.1:
            self.method = dice.choice(["POST", "GET", *_METHODS])

    def raw(self) -> bytes:
        kind, body = self.body()
        headers = {"Host": self.fuzz.host, "Connection": "close"}
        if kind:
            headers["Content-Type"] = kind
        while self.dice.random() < 0.3:
            name = self.dice.choice(sorted(_HEADERS))
            headers[name] = self.dice.choice(_HEADERS[name])
        if headers.get("Content-Encoding") == "gzip" and self.dice.random() < 0.5:
            body = gzip.compress(body)
        if self.dice.random() < 0.2:
            headers["Transfer-Encoding"] = "chunked"
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
        else:
            headers["Content-Length"] = str(len(body))
        head = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        line = f"{self.method} {self.target()} HTTP/1.1\r\n"
        return (line + head + "\r\n").encode("latin-1") + body

    def target(self) -> str:
        parts = [self.segment(one) if "{" in one else one for one in self.path.split("/")]
        query = {}
        if "queue" in self.path or "modules" in self.path or self.dice.random() < 0.3:
            query = {"moduleId": "Puppet", "wait": "0"}
            if self.dice.random() < 0.7:
                query |= {"instanceId": self.dice.choice(["p1", "p2", "p3"])}
            if self.dice.random() < 0.5:
                query |= {"attempt": self.dice.choice(self.fuzz.attempts)}
        while self.dice.random() < 0.3:
            query[self.dice.choice(_NAMES)] = self.text()
        text = urlencode(query, errors="surrogatepass")
        return "/".join(parts) + (f"?{text}" if text else "")

    def segment(self, part: str) -> str:
        usual = {
            "{module_id}": ["Puppet", "puppet", "Nobody"],
            "{queue}": ["puppet_queue", "nothing"],
            "{name}": ["explorer.js", "none.js"],
            "{path:.+}": ["text/tell/more", "text/talk", "nowhere"],
        }.get(part, self.fuzz.known[-50:])
        dice = self.dice.random()
        if dice < 0.75:
            return self.dice.choice(usual)
        if dice < 0.9:
            return quote(self.text()[:2_000], safe="", errors="surrogatepass")
        return quote_from_bytes(self.dice.randbytes(self.dice.randint(1, 9)), safe="")

    def text(self) -> str:
        if self.dice.random() < 0.3:
            return self.dice.choice([*self.fuzz.known[-50:], *self.fuzz.attempts[-20:]])
        return self.dice.choice(_ODD_TEXTS)

    def value(self) -> Any:
        return self.text() if self.dice.random() < 0.6 else self.dice.choice(_ODD_VALUES)

    def fields(self) -> dict[str, Any]:
        named: dict[str, Any] = {}
        if self.dice.random() < 0.6:
            named = {"prompt": "hello", "commandId": self.dice.choice(self.fuzz.known[-50:])}
        while self.dice.random() < 0.6:
            named[self.dice.choice(_NAMES)] = self.value()
        return named

    def body(self) -> tuple[str, bytes]:
        if self.method in ("GET", "HEAD") and self.dice.random() < 0.8:
            return "", b""
        if "progress" in self.path and self.dice.random() < 0.8:
            return "application/json", _json({"commands": [self.progress()]})
        if "updatemodulestatus" in self.path and self.dice.random() < 0.8:
            return _FORM, self.form({"statusData": json.dumps(self.status())})
        make = self.dice.choice(
            [self.flat, self.shape, self.multipart, self.urlencoded, self.bytes]
        )
        return make()

    def flat(self) -> tuple[str, bytes]:
        return self.dice.choice(["application/json", "text/plain"]), _json(self.fields())

    def shape(self) -> tuple[str, bytes]:
        values: Any = [{"key": key, "value": value} for key, value in self.fields().items()]
        body = {
            "values": values,
            "files": self.dice.choice([[], None, [self.value()], self.value()]),
        }
        if self.dice.random() < 0.2:
            body["values"] = self.value()
        return "application/json", _json(body)

    def urlencoded(self) -> tuple[str, bytes]:
        return _FORM, self.form({key: str(value) for key, value in self.fields().items()})

    def form(self, values: dict[str, str]) -> bytes:
        return urlencode(values, errors="surrogatepass").encode()

    def bytes(self) -> tuple[str, bytes]:
        kinds = ["application/json", _FORM, _MULTIPART, "application/octet-stream", ""]
        return self.dice.choice(kinds), self.dice.randbytes(self.dice.choice([1, 30, 3_000]))

    def multipart(self) -> tuple[str, bytes]:
        parts = []
        for key, value in self.fields().items():
            head = f'Content-Disposition: form-data; name="{key}"'
            if self.dice.random() < 0.2:
                head += '; filename="a.png"'
            if self.dice.random() < 0.2:
                head += "\r\n" + self.dice.choice(_PART_HEADERS)
            raw = str(value).encode(errors="surrogatepass")
            if self.dice.random() < 0.1:
                raw = base64.b64encode(raw)
            parts.append(b"--XX\r\n" + head.encode("latin-1") + b"\r\n\r\n" + raw + b"\r\n")
        return _MULTIPART, b"".join(parts) + b"--XX--\r\n"

    def progress(self) -> Any:
        told = {
            "commandId": self.dice.choice(self.fuzz.known[-50:]),
            "attempt": self.dice.choice(self.fuzz.attempts[-20:]),
            "offset": self.dice.choice([0, 0, 0, 1, 2**70, -1]),
            "text": self.dice.choice(["hi", "\ud800", "x" * 3_000, ""]),
        }
        if self.dice.random() < 0.3:
            piece = {
                "channel": self.text(),
                "offset": 0,
                "text": "x",
                "index": 0,
                "name": self.text(),
            }
            told |= {"pieces": [piece], "text": ""}
        if self.dice.random() < 0.3:
            told["result"] = self.dice.choice(
                [{"success": True}, {"success": False}, self.fields()]
            )
        while self.dice.random() < 0.3:
            told[self.dice.choice(_NAMES)] = self.value()
        return told

    def status(self) -> Any:
        told = {"state": self.dice.choice(_STATUSES), "busy": self.value(), "slots": self.value()}
        told["commands"] = self.dice.choice([[], [self.value()], self.value()])
        return {**told, **self.fields()} if self.dice.random() < 0.8 else self.value()


_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data; boundary=XX"


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _mutated(dice: Random, raw: bytes) -> bytes:
    """A few bytes changed, left out or put in, or the rest cut off."""
    data = bytearray(raw)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data))
        change = dice.randrange(4)
        if change == 0:
            data[at] = dice.randrange(256)
        elif change == 1:
            del data[at : at + dice.randint(1, 5)]
        elif change == 2:
            data[at:at] = dice.choice([b"\r\n", b"\x00", b"\xff", b":", b" ", FORGED.encode()])
        else:
            del data[at + 1 :]
        if not data:
            return b"\x00"
    return bytes(data)
