"""The parts of a multipart/form-data body (RFC 7578), cut where its boundary stands.

The body is in memory whole, within its limit, and is cut at the speed of a search: whoever reads
it line by line can be sent millions of lines. Invariant: how many parts there are is known before
the first is cut.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from email.message import Message
from email.parser import HeaderParser
from email.utils import collapse_rfc2231_value
from typing import NamedTuple

from host.web.errors import SHOWN_CHARS, RequestRefused, bad_field
from host.web.payload_parts import MAX_FIELDS, MAX_FILES

MAX_PARTS = MAX_FIELDS + MAX_FILES
MAX_HEAD_BYTES = 8192  # the headers of one part
_SEARCHED_BYTES = 2**20  # at once
_END_OF_HEAD = b"\r\n\r\n"
_HEADER = re.compile(rb"[!-9;-~]+:[^\x00-\x08\x0a-\x1f\x7f]*|[ \t][^\x00-\x08\x0a-\x1f\x7f]*")
_TRANSFER_ENCODINGS: dict[str, Callable[[memoryview], bytes | memoryview]] = {
    **dict.fromkeys(("7bit", "8bit", "binary", "identity"), memoryview),
    "base64": binascii.a2b_base64,
    "quoted-printable": binascii.a2b_qp,
}


class Part(NamedTuple):
    """One field; with a `filename` a file."""

    name: str
    filename: str | None
    content_type: str
    data: bytes | memoryview


def parts_of(body: bytes, content_type: str) -> Iterator[Part]:
    """Each part in its order; `content_type` names the boundary. Raises RequestRefused (400)."""
    line = b"--" + _boundary_of(content_type)
    mark = b"\r\n" + line
    at = 0 if body.startswith(line) else _find(body, mark, 0) + 2
    if at == 1:
        raise _malformed("a body without its boundary")
    count = _count(body, mark, at)
    if count > MAX_PARTS:
        raise bad_field("body", f"at most {MAX_PARTS} parts", str(count))
    for place in range(count):
        start = at + len(line)
        end = _find(body, mark, start)
        yield _part(body, start, end, place)
        at = end + 2
    if not body.startswith(b"--", at + len(line)):
        raise _malformed("a body that ends before its last boundary")


def _find(body: bytes, mark: bytes, start: int) -> int:
    """Where the mark is next, or -1. A piece at a time: no other thread runs during a search."""
    for begin in range(start, len(body), _SEARCHED_BYTES):
        found = body.find(mark, begin, begin + _SEARCHED_BYTES + len(mark) - 1)
        if found >= 0:
            return found
    return -1


def _count(body: bytes, mark: bytes, start: int) -> int:
    begins = range(start, len(body), _SEARCHED_BYTES)
    overlap = len(mark) - 1
    return sum(body.count(mark, one, one + _SEARCHED_BYTES + overlap) for one in begins)


def _boundary_of(content_type: str) -> bytes:
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary("") or ""
    if not 1 <= len(boundary) <= 70:
        got = f"{len(boundary)} characters" if boundary else "none"
        raise bad_field("Content-Type", "a multipart boundary of 1 to 70 characters", got)
    return boundary.encode("utf-8", "surrogateescape")


def _part(body: bytes, start: int, end: int, place: int) -> Part:
    """What is between two boundaries: the rest of the line, headers, an empty line, data."""
    head_end = body.find(_END_OF_HEAD, start, min(end, start + MAX_HEAD_BYTES))
    if head_end < 0:
        raise _malformed(f"part {place} without an end of its headers in {MAX_HEAD_BYTES} bytes")
    rest, _, head = body[start:head_end].partition(b"\r\n")
    if rest.strip(b" \t"):
        raise _malformed(f"part {place} with something behind its boundary")
    if not all(_HEADER.fullmatch(one) for one in head.split(b"\r\n")):
        raise _malformed(f"part {place} with a header that is none")
    headers = HeaderParser().parsestr(head.decode("utf-8", "replace"))
    if headers.get("Content-Type", "").lower().startswith("multipart/"):
        raise bad_field("body", "flat form fields", "a multipart within a multipart")
    filename = _parameter(headers, "filename")
    return Part(
        name=_parameter(headers, "name") or "file",
        filename=filename,
        content_type=headers.get("Content-Type", "application/octet-stream"),
        data=_transferred(headers, memoryview(body)[head_end + len(_END_OF_HEAD) : end], place),
    )


def _transferred(headers: Message, raw: memoryview, place: int) -> bytes | memoryview:
    """What a part holds, which is never longer than how it is sent."""
    if "Content-Encoding" in headers:
        raise bad_field(
            f"Content-Encoding of part {place}", "none", repr(headers["Content-Encoding"])
        )
    coding = headers.get("Content-Transfer-Encoding", "binary").strip().lower()
    decode = _TRANSFER_ENCODINGS.get(coding)
    if decode is None:
        known = ", ".join(_TRANSFER_ENCODINGS)
        field = f"Content-Transfer-Encoding of part {place}"
        raise bad_field(field, f"one of {known}", repr(coding[:SHOWN_CHARS]))
    try:
        return decode(raw)
    except binascii.Error as error:
        raise _malformed(f"part {place} that is not {coding}: {error}") from None


def _parameter(headers: Message, name: str) -> str | None:
    value = headers.get_param(name, header="Content-Disposition")
    return None if value is None else collapse_rfc2231_value(value)


def _malformed(got: str) -> RequestRefused:
    return bad_field("body", "well-formed multipart/form-data", got)
