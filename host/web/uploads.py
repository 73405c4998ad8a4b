"""A request's body, read whole, within its limits.

Invariant: no more is held of it than it may have, and one that stops coming ends. A compressed one
is unpacked up to the same limit: a few bytes may stand for gigabytes.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from host.web.errors import SHOWN_CHARS, RequestRefused, bad_field

SILENCE_S = 30.0  # in which at least LEAST_BYTES come, from the slowest of lines
LEAST_BYTES = 4096
MANY_PIECES = 8  # of 64 to 256 kB each
_beside = ThreadPoolExecutor(1, "joins")  # one at a time: each is in memory twice meanwhile
_CODINGS = {"identity": 0, "gzip": 31, "deflate": 15}  # and what zlib calls them


def nobody_counts(_: int) -> None:
    """For bodies that are within a limit of their own."""


async def read_body(
    request: web.Request,
    most_bytes: int | None = None,
    taken: Callable[[int], None] = nobody_counts,
) -> bytes:
    """The bytes as they came: `MaxBodyMB` at most, or `most_bytes`.

    `taken(count)` is told of the bytes before they are kept, of all where their number is declared,
    and may raise. Raises RequestRefused:
    400 for broken chunks, 408 for a body that comes too slowly, 415 for one in a coding that is not
    known here; and beyond the limit 413, or aiohttp's own.
    """
    coding = request.headers.get("Content-Encoding")
    if coding is None and request.content.is_eof():  # all of it has come already
        body = request.content.read_nowait()
        _check_size(request, most_bytes, len(body))
        taken(len(body))
        return body
    coding = "identity" if coding is None else coding.strip().lower()
    if coding not in _CODINGS:
        known = ", ".join(_CODINGS)
        error = f"Content-Encoding: expected one of {known}, got {coding[:SHOWN_CHARS]!r}"
        raise RequestRefused(415, f"{error}: send the body as it is")
    upload = _Upload(request, most_bytes, taken)
    if request.content_length:
        upload.check(request.content_length)
        taken(request.content_length)
        upload.is_counted = True
    try:
        while not await asyncio.wait_for(upload.has_ended(), SILENCE_S):
            pass
    except web.RequestPayloadError as error:
        raise bad_field("body", "well-formed chunks", str(error)) from None
    except asyncio.TimeoutError:
        least = f"at least {LEAST_BYTES} bytes in {SILENCE_S:g} s"
        raise RequestRefused(408, f"body: expected {least}, or its end; got less") from None
    body = await _joined(upload.pieces)
    return body if coding == "identity" else _unpacked(body, coding, upload)


async def _joined(pieces: list[bytes]) -> bytes:
    """Large ones beside the event loop: Python lets others run meanwhile."""
    if len(pieces) < MANY_PIECES:
        return b"".join(pieces)
    return await asyncio.get_running_loop().run_in_executor(_beside, b"".join, pieces)


def _unpacked(body: bytes, coding: str, upload: _Upload) -> bytes:
    """The body as it was; refused where it is larger than bodies may be."""
    unpacking = zlib.decompressobj(_CODINGS[coding])
    try:
        found = unpacking.decompress(body, upload.most + 1)
    except zlib.error as error:
        field, expected = "Content-Encoding", f"a body in {coding}, as the header says"
        raise bad_field(field, expected, f"another: {error}") from None
    upload.check(len(found))
    if not unpacking.eof:
        raise bad_field("Content-Encoding", f"a body in {coding}", "one that ends too early")
    upload.taken(max(0, len(found) - len(body)))
    return found


class _Upload:
    def __init__(
        self, request: web.Request, most_bytes: int | None, taken: Callable[[int], None]
    ) -> None:
        self._request, self._most_bytes, self.taken = request, most_bytes, taken
        self.is_counted = False
        self.pieces: list[bytes] = []
        self.size = 0

    @property
    def most(self) -> int:
        """Bytes that the body may have."""
        return self._request.client_max_size if self._most_bytes is None else self._most_bytes

    async def has_ended(self) -> bool:
        """Read as much as must come within the limit of time; True at the end."""
        enough = self.size + LEAST_BYTES
        while self.size < enough:
            piece = await self._request.content.readany()
            if not piece:
                return True
            self.take(piece)
        return False

    def take(self, piece: bytes) -> None:
        self.check(self.size + len(piece))
        if not self.is_counted:
            self.taken(len(piece))
        self.pieces.append(piece)
        self.size += len(piece)

    def check(self, size: int) -> None:
        _check_size(self._request, self._most_bytes, size)


def _check_size(request: web.Request, most_bytes: int | None, size: int) -> None:
    """Raise where a body of that size is too large."""
    if most_bytes is None and size > request.client_max_size:
        raise web.HTTPRequestEntityTooLarge(request.client_max_size, size)
    if most_bytes is not None and size > most_bytes:
        expected = f"at most {most_bytes} bytes for this path"
        raise RequestRefused(413, f"body: expected {expected}, got more")
