"""Requests that are broken below HTTP's surface: each is answered 400 or 403, and costs one line.

They are sent over a bare socket: no client's library would let them out.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from puppet import Puppet

from host.app import Host

FORM = "multipart/form-data; boundary=XX"
JSON = {"Content-Type": "application/json"}
TELL = "POST /v1/text/tell"


async def send(host: Host, line: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """A request as it is written here; the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", host.server.port)
    sent = {"Host": f"127.0.0.1:{host.server.port}", "Connection": "close", **headers}
    if "Transfer-Encoding" not in sent:
        sent["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    writer.write(f"{line} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)
    try:
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()


def parsed(answer: bytes) -> tuple[int, dict[str, Any]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def part(headers: str, body: bytes = b"hello") -> bytes:
    return b"--XX\r\n" + headers.encode("latin-1") + b"\r\n\r\n" + body + b"\r\n--XX--\r\n"


PROMPT = 'Content-Disposition: form-data; name="prompt"'
BROKEN = {
    "a malformed Origin": (TELL, {"Origin": "http://["}, b"", "Origin"),
    "half a surrogate pair in an id": (
        "POST /v1/Puppet/get_command_status", JSON, b'{"commandId": "\\ud800"}', "commandId"
    ),
    "half a surrogate pair in an id to cancel": (
        "POST /v1/Puppet/cancel_command", JSON, b'{"commandId": "\\udfff"}', "commandId"
    ),
    "a key of idempotency that is not UTF-8": (
        TELL, {**JSON, "Idempotency-Key": "\xe9\xff"}, b'{"prompt": "x"}', "Idempotency-Key"
    ),
    "an expectation that nobody can say": (TELL, {"Expect": "x\x9a"}, b"", "header"),
    "no gzip under that name": (
        TELL, {**JSON, "Content-Encoding": "gzip"}, b'{"prompt": "x"}', "Content-Encoding"
    ),
    "no deflate under that name": (
        TELL, {**JSON, "Content-Encoding": "deflate"}, b'{"prompt": "x"}', "Content-Encoding"
    ),
    "files that are a number": (TELL, JSON, b'{"values": [], "files": 3}', "files"),
    "files that are an object": (TELL, JSON, b'{"values": [], "files": {"a": 1}}', "files"),
    "files that are a text": (TELL, JSON, b'{"values": [], "files": "abc"}', "files"),
    "a part's header without a colon": (
        TELL, {"Content-Type": FORM}, part("nonsense\r\n" + PROMPT), "body"
    ),
    "a part's header with a NUL": (
        TELL, {"Content-Type": FORM}, part("X: a\x00b\r\n" + PROMPT), "body"
    ),
    "a part's header without end": (
        TELL, {"Content-Type": FORM}, part("X: " + "y" * 100_000), "body"
    ),
    "a part with a thousand headers": (
        TELL, {"Content-Type": FORM}, part("\r\n".join(f"X{n}: y" for n in range(1000))), "body"
    ),
    "a part's transfer encoding that nobody knows": (
        TELL, {"Content-Type": FORM}, part(PROMPT + "\r\nContent-Transfer-Encoding: rot13"),
        "Content-Transfer-Encoding",
    ),
    "a part that is not the base64 it says": (
        TELL, {"Content-Type": FORM},
        part(PROMPT + "\r\nContent-Transfer-Encoding: base64", b"a"), "body",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
async def test_a_broken_request_is_refused_by_name(
    host: Host, puppet: Puppet, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    line, headers, body, named = BROKEN[case]
    with caplog.at_level(logging.DEBUG):
        status, reply = parsed(await send(host, line, headers, body))
    assert status in (400, 403), reply
    assert reply["success"] is False and reply["code"] == status
    assert named in reply["error"], reply["error"]
    assert not [record for record in caplog.records if record.exc_info], "no traceback"
