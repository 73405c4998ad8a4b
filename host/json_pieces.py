"""JSON, of large values in pieces: a long text that is worked on in one go keeps every other thread
of the process waiting, whichever thread does it.

Invariants: any string survives; the pieces together are the JSON of the value, and none takes long
to make.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson

PIECE_CHARS = 2**18  # large enough to go back to the system (host.processes.allocator)


def json_bytes(value: Any) -> bytes:
    """JSON in UTF-8; half of a surrogate pair, which that cannot say, comes as an escape."""
    try:
        return orjson.dumps(value, default=str)
    except TypeError:
        return json.dumps(value, default=str, separators=(",", ":")).encode()


def json_pieces(value: Any) -> Iterator[bytes]:
    """The same, in pieces."""
    if not _has_long_text(value):
        yield json_bytes(value)
        return
    begun, size = [], 0
    for piece in _pieces(value):
        begun.append(piece)
        size += len(piece)
        if size >= PIECE_CHARS:
            yield b"".join(begun)
            begun, size = [], 0
    yield b"".join(begun)


async def calm_pieces(value: Any) -> AsyncIterator[bytes]:
    """The same, with the event loop's turn between any two."""
    for number, piece in enumerate(json_pieces(value)):
        if number:
            await asyncio.sleep(0)
        yield piece


def _has_long_text(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) > PIECE_CHARS
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return False
    return any(map(_has_long_text, value))


def _pieces(value: Any) -> Iterator[bytes]:
    if not _has_long_text(value):
        yield json_bytes(value)
    elif isinstance(value, str):
        yield b'"'
        for begin in range(0, len(value), PIECE_CHARS):
            yield json_bytes(value[begin : begin + PIECE_CHARS])[1:-1]
        yield b'"'
    elif isinstance(value, dict):
        for number, (key, one) in enumerate(value.items()):
            yield (b"," if number else b"{") + json_bytes(key) + b":"
            yield from _pieces(one)
        yield b"}"
    else:
        for number, one in enumerate(value):
            yield b"," if number else b"["
            yield from _pieces(one)
        yield b"]"
