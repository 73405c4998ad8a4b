"""From a client's body to the payload that a module reads.

Accepted: multipart, urlencoded, a flat JSON object, and the payload shape itself; query
parameters join the values.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import unquote

from aiohttp import BodyPartReader, web

from host.web.errors import RequestRefused, bad_field
from host.wire import File, Payload, Value

MAX_FIELDS = 1000


async def read_payload(
    request: web.Request, queue: str, command: str, segments: list[str]
) -> Payload:
    """Read the request's body and query.

    Raises RequestRefused (400) for what is not what it says it is, and aiohttp's 413 beyond the
    size limit.
    """
    payload: Payload = {
        "queue": queue,
        "command": command,
        "urlSegments": segments,
        "values": [],
        "files": [],
    }
    kind = request.content_type
    if not request.can_read_body:
        pass
    elif kind == "multipart/form-data":
        await _read_multipart(request, payload)
    elif kind == "application/x-www-form-urlencoded":
        _read_urlencoded(await _read_text(request), payload)
    elif kind in {"application/json", "text/plain", "application/octet-stream"}:
        _read_json(await _read_text(request), payload)
    else:
        raise bad_field(
            "Content-Type",
            "multipart/form-data, application/x-www-form-urlencoded or application/json",
            repr(kind),
        )
    if request.query_string:
        for key, value in request.query.items():
            add_value(payload, key, value)
    return payload


async def read_values(request: web.Request) -> dict[str, str]:
    """The first value under each key, for the short questions that are asked often.

    Raises as `read_payload` does.
    """
    payload = await read_payload(request, "", "", [])
    return {item["key"]: item["value"][0] for item in payload["values"] if item["value"]}


def add_value(payload: Payload, key: str, value: str) -> None:
    """Put a value under its key; a key that is there already gets one more value."""
    for item in payload["values"]:
        if item["key"] == key:
            item["value"].append(value)
            return
    payload["values"].append({"key": key, "value": [value]})


def _utf8(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad_field(
            where, "UTF-8 text", f"byte 0x{raw[error.start]:02x} at {error.start}"
        ) from None


async def _read_text(request: web.Request) -> str:
    return _utf8(await request.read(), "body")


def _read_urlencoded(text: str, payload: Payload) -> None:
    pairs = text.split("&")
    if len(pairs) > MAX_FIELDS:
        raise bad_field("body", f"at most {MAX_FIELDS} form fields", str(len(pairs)))
    is_plain = "%" not in text and "+" not in text
    found: dict[str, list[str]] = {}
    try:
        for pair in pairs:
            if pair:
                key, _, value = pair.partition("=")
                if not is_plain:
                    key, value = _decoded(key), _decoded(value)
                found.setdefault(key, []).append(value)
    except UnicodeDecodeError as error:
        raise bad_field("body", "percent-encoded UTF-8", str(error)) from None
    payload["values"] += [{"key": key, "value": values} for key, values in found.items()]


def _decoded(text: str) -> str:
    text = text.replace("+", " ")
    return unquote(text, errors="strict") if "%" in text else text


async def _read_multipart(request: web.Request, payload: Payload) -> None:
    if "boundary" not in request.headers.get("Content-Type", ""):
        raise bad_field("Content-Type", "a multipart boundary", "none")
    left = request.client_max_size
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader):
                raise bad_field("body", "flat form fields", "a multipart within a multipart")
            raw = await _read_part(part, left, request)
            left -= len(raw)
            _add_part(part, raw, payload)
    except ValueError as error:
        raise bad_field("body", "well-formed multipart/form-data", str(error)) from None


async def _read_part(part: BodyPartReader, limit: int, request: web.Request) -> bytes:
    raw = bytearray()
    while chunk := await part.read_chunk(65536):
        raw += chunk
        if len(raw) > limit:
            raise web.HTTPRequestEntityTooLarge(request.client_max_size, len(raw))
    return _transferred(part.headers.get("Content-Transfer-Encoding", "binary"), bytes(raw))


_TRANSFER_ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "7bit": bytes,
    "8bit": bytes,
    "binary": bytes,
    "base64": binascii.a2b_base64,
    "quoted-printable": binascii.a2b_qp,
}


def _transferred(encoding: str, raw: bytes) -> bytes:
    """What a part holds; binascii's error, a ValueError, where it is not what it says."""
    decode = _TRANSFER_ENCODINGS.get(encoding.strip().lower())
    if decode is None:
        known = ", ".join(_TRANSFER_ENCODINGS)
        raise bad_field("Content-Transfer-Encoding", f"one of {known}", repr(encoding[:80]))
    return decode(raw)


def _add_part(part: BodyPartReader, raw: bytes, payload: Payload) -> None:
    name = part.name or "file"
    if part.filename is None:
        add_value(payload, name, _utf8(raw, name))
        return
    payload["files"].append(
        {
            "name": name,
            "filename": part.filename,
            "contentType": part.headers.get("Content-Type", "application/octet-stream"),
            "data": base64.b64encode(raw).decode("ascii"),
        }
    )


def _read_json(text: str, payload: Payload) -> None:
    if not text.strip():
        return
    try:
        body = json.loads(text)
    except ValueError as error:
        raise bad_field("body", "a JSON object", f"malformed JSON: {error}") from None
    except RecursionError:
        raise bad_field("body", "a flat JSON object", "one nested too deeply") from None
    if not isinstance(body, dict):
        raise bad_field("body", "a JSON object", f"a JSON {type(body).__name__}")
    if _is_payload_shape(body):
        _copy_payload(body, payload)
    else:
        for key, value in body.items():
            for one in value if _is_flat_list(value) else [value]:
                add_value(payload, key, _as_text(one))


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


def _copy_payload(body: dict[str, Any], payload: Payload) -> None:
    for item in cast(list[Value], body["values"]):
        values = item["value"] if isinstance(item["value"], list) else [item["value"]]
        for value in values:
            add_value(payload, str(item["key"]), _as_text(value))
    files = body.get("files") or []
    if not isinstance(files, list):
        raise bad_field("files", "a list of objects", f"a JSON {type(files).__name__}")
    for number, file in enumerate(files):
        payload["files"].append(_copied_file(file, f"files[{number}]"))


def _copied_file(file: Any, where: str) -> File:
    if not isinstance(file, dict) or not isinstance(file.get("data"), str):
        raise RequestRefused(400, f"{where}: expected an object with base64 `data`")
    return {
        "name": str(file.get("name", "file")),
        "filename": str(file.get("filename", "file")),
        "contentType": str(file.get("contentType", "application/octet-stream")),
        "data": file["data"],
    }
