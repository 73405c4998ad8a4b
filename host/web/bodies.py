"""From a client's body to the payload that a module reads.

Accepted: multipart, urlencoded, a flat JSON object, and the payload shape itself; query
parameters join the values. Invariant: work and memory are bounded by the body's length and by the
number of things in it, which is counted before anything is built of them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

from aiohttp import web

from host.web.base64_text import base64_text
from host.web.errors import bad_field
from host.web.json_texts import parsed_json
from host.web.multipart import parts_of
from host.web.payload_parts import MAX_FIELDS, PayloadParts, too_many_fields
from host.web.uploads import nobody_counts, read_body
from host.wire import File, Payload

QUESTION_BYTES = 65536  # at most, of a body that only asks about a command

_LARGE_BYTES = 65536
_UNQUOTED_BYTES = 65536  # at once
_beside = ThreadPoolExecutor(1, "bodies")  # of the large ones one at a time, beside the event loop
_MULTIPART, _FORM = "multipart/form-data", "application/x-www-form-urlencoded"
_JSON = {"application/json", "text/plain", "application/octet-stream"}
_KINDS = {_MULTIPART, _FORM, *_JSON}


async def read_payload(
    request: web.Request,
    queue: str,
    command: str,
    segments: list[str],
    taken: Callable[[int], None] = nobody_counts,
) -> Payload:
    """Read the request's body and query; `taken` is told of its bytes as `read_body` does.

    Raises RequestRefused (400) for what is not what it says it is, or has too many things in it,
    and as `read_body` does.
    """
    parts = await _read_parts(request, None, taken)
    return parts.payload(queue, command, segments)


async def read_values(request: web.Request) -> dict[str, str]:
    """The first value under each key, for the short questions that are asked often.

    Raises as `read_payload` does.
    """
    parts = await _read_parts(request, QUESTION_BYTES, nobody_counts)
    return parts.first_values()


async def _read_parts(
    request: web.Request, most_bytes: int | None, taken: Callable[[int], None]
) -> PayloadParts:
    parts = PayloadParts()
    if request.can_read_body:
        content_type = request.headers.get("Content-Type", "")
        kind = _kind_of(content_type)
        if kind not in _KINDS:
            expected = f"{_MULTIPART}, {_FORM} or application/json"
            raise bad_field("Content-Type", expected, repr(kind))
        body = await read_body(request, most_bytes, taken)
        taken_apart = (body, content_type, kind, parts)
        if len(body) < _LARGE_BYTES:
            _take_apart(*taken_apart)
        else:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(_beside, _take_apart, *taken_apart)
    if "?" in request.raw_path:
        for key, value in request.query.items():
            parts.add(key, value)
    return parts


@lru_cache(maxsize=256)  # the same few come with every request
def _kind_of(content_type: str) -> str:
    """What it is, without its parameters; bytes that may be anything where nothing is said."""
    return content_type.partition(";")[0].strip().lower() or "application/octet-stream"


def _take_apart(body: bytes, content_type: str, kind: str, parts: PayloadParts) -> None:
    if kind == _MULTIPART:
        _add_multipart(body, content_type, parts)
    elif kind == _FORM:
        _add_form(utf8_text(body), parts)
    else:
        _add_json(utf8_text(body), parts)


def utf8_text(raw: bytes, where: str = "body") -> str:
    """The text of bytes. Raises RequestRefused (400)."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad_field(
            where, "UTF-8 text", f"byte 0x{raw[error.start]:02x} at {error.start}"
        ) from None


def _add_form(text: str, parts: PayloadParts) -> None:
    count = text.count("&") + 1
    if count > MAX_FIELDS:
        raise too_many_fields(str(count))
    decoded = _decoded if "%" in text or "+" in text else str
    try:
        for pair in filter(None, text.split("&")):
            key, _, value = pair.partition("=")
            parts.add(decoded(key), decoded(value))
    except UnicodeDecodeError as error:
        got = f"byte 0x{error.object[error.start]:02x}"
        raise bad_field("body", "percent-encoded UTF-8", got) from None


def _decoded(text: str) -> str:
    """A piece at a time: the library makes a list of all escapes of what it is given."""
    if "+" in text:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    raw, pieces, begin = text.encode(), [], 0
    while begin < len(raw):
        end = begin + _UNQUOTED_BYTES
        cut = raw.rfind(b"%", end - 2, end)  # no escape is cut in two
        end = end if cut < 0 else cut
        pieces.append(unquote_to_bytes(raw[begin:end]))
        begin = end
    return b"".join(pieces).decode()


def _add_multipart(body: bytes, content_type: str, parts: PayloadParts) -> None:
    for part in parts_of(body, content_type):
        if part.filename is None:
            parts.add(part.name, utf8_text(bytes(part.data), part.name))
            continue
        data = base64_text(part.data)
        file = File(
            name=part.name, filename=part.filename, contentType=part.content_type, data=data
        )
        parts.add_file(file)


def _add_json(text: str, parts: PayloadParts) -> None:
    if not text.strip():
        return
    body = parsed_json(text, "body")
    if not isinstance(body, dict):
        raise bad_field("body", "a JSON object", f"a JSON {type(body).__name__}")
    if _is_payload_shape(body):
        _add_payload(body, parts)
    else:
        for key, value in body.items():
            for one in value if _is_flat_list(value) else [value]:
                parts.add(key, _as_text(one))


def _is_payload_shape(body: dict[str, Any]) -> bool:
    values = body.get("values")
    return isinstance(values, list) and all(
        isinstance(item, dict) and "key" in item and "value" in item for item in values
    )


def _is_flat_list(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(one, (dict, list)) for one in value)


def _as_text(value: Any) -> str:
    """As a form would have sent it: text as it is, everything else as JSON; null as nothing."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _add_payload(body: dict[str, Any], parts: PayloadParts) -> None:
    for item in body["values"]:
        values = item["value"] if isinstance(item["value"], list) else [item["value"]]
        for value in values:
            parts.add(str(item["key"]), _as_text(value))
    files = body.get("files") or []
    if not isinstance(files, list):
        raise bad_field("files", "a JSON list", f"a JSON {type(files).__name__}")
    for number, file in enumerate(files):
        parts.add_file(_copied_file(file, f"files[{number}]"))


def _copied_file(file: Any, where: str) -> File:
    if not isinstance(file, dict) or not isinstance(file.get("data"), str):
        raise bad_field(where, "an object with base64 `data`", f"a JSON {type(file).__name__}")
    return {
        "name": str(file.get("name", "file")),
        "filename": str(file.get("filename", "file")),
        "contentType": str(file.get("contentType", "application/octet-stream")),
        "data": file["data"],
    }
