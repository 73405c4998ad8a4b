"""Requests as bytes, for what no decent client sends."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

Answer = tuple[int, dict[str, Any]]


def head(url: str, path: str, method: str = "POST", **headers: object) -> bytes:
    """A request's head; the names of headers have `_` for `-`."""
    named = {"Host": urlsplit(url).netloc, **headers}
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items()]
    return f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode()


async def connect(
    url: str, address: str | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection; `address` is where it comes from: all of 127.0.0.0/8 is this machine."""
    place = urlsplit(url)
    own = None if address is None else (address, 0)
    return await asyncio.open_connection(place.hostname, place.port, local_addr=own)


async def answer(reader: asyncio.StreamReader) -> Answer:
    """The next answer on a connection."""
    text = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = int(text.lower().split("content-length:")[1].split("\r\n")[0])
    return int(text.split(" ")[1]), json.loads(await reader.readexactly(length))


async def send(url: str, data: bytes) -> Answer:
    """Send, and wait for one answer."""
    reader, writer = await connect(url)
    try:
        writer.write(data)
        return await answer(reader)
    finally:
        writer.close()
