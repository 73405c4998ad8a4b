"""What a body may hold, whatever its encoding: counted before anything is built of it."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from puppet import Caller, Puppet
from raw_http import connect, head, send

from host.app import Host
from host.web import bodies, uploads
from host.web.errors import RequestRefused
from host.web.json_texts import MAX_DEPTH, parsed_json
from host.web.multipart import parts_of
from host.web.payload_parts import MAX_FIELDS, MAX_FILES

TELL = "/v1/text/tell"
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
MULTIPART = "multipart/form-data; boundary=b"

PROMPT = b"prompt=hello"

Body = tuple[str, bytes]


def form(count: int) -> Body:
    return FORM, "&".join(f"k{one}=v" for one in range(count)).encode()


def flat(count: int) -> Body:
    return JSON, json.dumps({f"k{one}": "v" for one in range(count)}).encode()


def shape(count: int) -> Body:
    values = [{"key": f"k{one}", "value": ["v"]} for one in range(count)]
    return JSON, json.dumps({"values": values}).encode()


def one_key(count: int) -> Body:
    return JSON, json.dumps({"prompt": ["v"] * count}).encode()


def part(name: str, data: bytes, *more: str) -> bytes:
    lines = [f'Content-Disposition: form-data; name="{name}"', *more]
    return b"--b\r\n" + "\r\n".join(lines).encode() + b"\r\n\r\n" + data + b"\r\n"


def multipart(count: int) -> Body:
    return MULTIPART, b"".join(part(f"k{one}", b"v") for one in range(count)) + b"--b--\r\n"


ENCODINGS = [form, flat, shape, one_key, multipart]


async def post(client: Caller, body: Body, **headers: str) -> tuple[int, dict[str, Any]]:
    headers["Content-Type"] = body[0]
    return await client.call("POST", TELL, data=io.BytesIO(body[1]), headers=headers)


@pytest.mark.parametrize("count", [MAX_FIELDS + 1, 60_000])
@pytest.mark.parametrize("encoded", ENCODINGS)
async def test_too_many_fields_are_refused_in_every_encoding(
    puppet: Puppet, client: Caller, encoded: Callable[[int], Body], count: int
) -> None:
    status, answer = await post(client, encoded(count))
    assert status == 400, answer
    assert "body: expected" in answer["error"] and "at most" in answer["error"]
    assert await puppet.poll(wait=0) is None


@pytest.mark.parametrize("encoded", ENCODINGS)
async def test_as_many_as_may_be_are_taken(
    puppet: Puppet, client: Caller, encoded: Callable[[int], Body]
) -> None:
    kind, body = encoded(MAX_FIELDS - 1)
    path, headers = f"{TELL}?prompt=x", {"Content-Type": kind}  # one more value: it counts as well
    status, answer = await client.call("POST", path, data=body, headers=headers)
    assert status == 200, answer
    work = await puppet.take()
    assert sum(len(one["value"]) for one in work["payload"]["values"]) == MAX_FIELDS


async def test_too_many_in_the_query(puppet: Puppet, client: Caller) -> None:
    status, answer = await client.call("POST", TELL + "?" + "a=&" * (MAX_FIELDS + 1))
    assert status == 400 and "at most 1000 fields" in answer["error"]


@pytest.mark.parametrize("kind", ["multipart", "json"])
async def test_too_many_files(puppet: Puppet, client: Caller, kind: str) -> None:
    if kind == "multipart":
        one = part("f", b"x", "Content-Type: image/png").replace(b'"f"', b'"f"; filename="f"')
        body = MULTIPART, one * (MAX_FILES + 1) + b"--b--"
    else:
        files = [{"data": ""}] * (MAX_FILES + 1)
        body = JSON, json.dumps({"values": [], "files": files}).encode()
    status, answer = await post(client, body)
    assert status == 400 and f"files: expected at most {MAX_FILES} files" in answer["error"]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 8_000_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        '{"prompt":' + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1) + "}",
    ],
)
async def test_deep_json_is_refused(puppet: Puppet, client: Caller, text: str) -> None:
    status, answer = await post(client, (JSON, text.encode()))
    assert status == 400 and ("too deeply" in answer["error"] or "at most" in answer["error"])


@pytest.mark.parametrize(
    "text",
    [
        '{"prompt":[' + "[]," * 1_000_000 + "[]]}",
        '{"prompt":[' + "1," * 1_000_000 + "1]}",
        '{"prompt":[' + '"",' * 1_000_000 + '""]}',
        '{"prompt":{' + ",".join(f'"\\"{one}":1' for one in range(60_000)) + "}}",
    ],
)
async def test_wide_json_is_refused(puppet: Puppet, client: Caller, text: str) -> None:
    status, answer = await post(client, (JSON, text.encode()))
    assert status == 400 and "items" in answer["error"]


async def test_an_input_that_is_json_is_bounded_too(puppet: Puppet, client: Caller) -> None:
    for text in ("[" * 1_000_000, "[" + "1," * 100_000 + "1]"):
        values = {"prompt": "x", "bias": text}
        status, answer = await post(client, (JSON, json.dumps(values).encode()))
        assert status == 400 and answer["error"].startswith("bias: expected JSON of at most")


def test_what_stands_in_texts_is_not_counted() -> None:
    text = 'a, b [c] {d} "e" \\ ' * 20_000
    assert parsed_json(json.dumps({"prompt": text}), "body") == {"prompt": text}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("a,[]{}\"\\'\n"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("[,\\"), inner, max_size=4),
    max_leaves=60,
)


@given(_JSON, st.booleans())
def test_every_json_text_is_read_as_it_is(value: Any, is_ascii: bool) -> None:
    padding = [',[{\\"'] * 120  # beyond what is waved through
    text = json.dumps([value, padding], ensure_ascii=is_ascii)
    assert parsed_json(text, "body") == [value, padding]


_NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1)


@given(st.lists(st.tuples(_NAMES, st.binary(max_size=60)), max_size=5))
def test_every_part_is_found(fields: list[tuple[str, bytes]]) -> None:
    body = b"".join(part(name, data) for name, data in fields) + b"--b--\r\n"
    found = [(one.name, one.data) for one in parts_of(b"pre\r\n" + body, MULTIPART)]
    assert found == fields


@given(st.binary(max_size=200))
def test_any_bytes_are_parts_or_a_refusal(body: bytes) -> None:
    for around in (body, b"--b" + body + b"\r\n--b--", part("x", body) + b"--b" + body):
        try:
            list(parts_of(around, MULTIPART))
        except RequestRefused as refused:
            assert refused.status == 400


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"--b\r\nno end of head", "before its last boundary"),
        (b"--b\r\n" + b"X: y\r\n" * 3000 + b"\r\nx\r\n--b--", "end of its headers"),
        (b"--b x\r\n\r\n\r\nx\r\n--b--", "behind its boundary"),
        (part("x", b"x"), "before its last boundary"),
        (part("x", b"e", "Content-Transfer-Encoding: base64") + b"--b--", "not base64"),
        (part("x", b"x", "Content-Transfer-Encoding: rot13") + b"--b--", "quoted-printable"),
        (part("x", b"x", "Content-Encoding: gzip") + b"--b--", "expected none"),
        (part("x", b"", "Content-Type: multipart/mixed; boundary=c") + b"--b--", "within"),
    ],
)
async def test_broken_parts_are_400(
    puppet: Puppet, client: Caller, body: bytes, error: str
) -> None:
    status, answer = await post(client, (MULTIPART, body))
    assert status == 400 and error in answer["error"], answer


READERS = (
    TELL,
    "/v1/puppet/get_command_status",
    "/v1/queue/x?moduleId=Puppet&instanceId=p1",
    "/v1/log",
)


@pytest.mark.parametrize("coding", ["br", "zstd", "x-none", "gzip, gzip"])
async def test_unknown_codings_are_refused(puppet: Puppet, client: Caller, coding: str) -> None:
    for path in READERS:
        headers = {"Content-Encoding": coding, "Content-Type": FORM}
        body = io.BytesIO(b"prompt=x")
        status, answer = await client.call("POST", path, data=body, headers=headers)
        assert status == 415 and "send the body as it is" in answer["error"], (path, answer)


async def test_a_compressed_body_is_unpacked(puppet: Puppet, client: Caller) -> None:
    for coding, body in (("gzip", gzip.compress(PROMPT)), ("deflate", zlib.compress(PROMPT))):
        headers = {"Content-Encoding": coding, "Content-Type": FORM}
        assert (await client.call("POST", TELL, data=io.BytesIO(body), headers=headers))[0] == 200
        assert (await puppet.take())["payload"]["values"] == [{"key": "prompt", "value": ["hello"]}]
        headers = {**headers, "Content-Length": str(len(body) - 5)}
        status, answer = await client.call("POST", TELL, data=body[:-5], headers=headers)
        assert status == 400 and "ends too early" in answer["error"], answer


async def test_a_bomb_is_unpacked_up_to_the_limit(puppet: Puppet, client: Caller) -> None:
    bomb = gzip.compress(b"prompt=" + b"x" * 200_000_000)
    tracemalloc.start()
    try:
        for path in READERS:
            headers = {"Content-Encoding": "gzip", "Content-Type": FORM}
            status, answer = await client.call("POST", path, data=io.BytesIO(bomb), headers=headers)
            assert status == 413, (path, answer)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


async def test_files_that_are_no_list_are_refused(puppet: Puppet, client: Caller) -> None:
    for files in (1, "x", {"a": 1}, [1], [{"data": 1}]):
        body = json.dumps({"values": [], "files": files}).encode()
        status, answer = await post(client, (JSON, body))
        assert status == 400 and answer["error"].startswith("files"), answer


async def test_names_in_errors_are_cut(puppet: Puppet, client: Caller) -> None:
    name = "n" * 100_000
    for body in (
        (FORM, f"{name}=1".encode()),
        (JSON, json.dumps({name: 1}).encode()),
        (MULTIPART, part("n" * 5000, b"\xff") + b"--b--"),
    ):
        status, answer = await post(client, body)
        assert status == 400 and len(answer["error"]) < 300


async def test_a_short_question_has_a_short_body(puppet: Puppet, client: Caller) -> None:
    path, data = "/v1/puppet/get_command_status", b"commandId=x&more=" + b"x" * 70_000
    status, answer = await client.call("POST", path, data=data, headers={"Content-Type": FORM})
    assert status == 413 and "65536 bytes" in answer["error"]


async def test_the_route_is_found_before_the_body_is_read(host: Host, puppet: Puppet) -> None:
    """Nothing of the body is ever sent: whoever waited for it would wait for ever."""
    long = {"Content_Type": JSON, "Content_Length": 10_000_000}
    for path, method, headers, expected in (
        ("/v1/no/such", "POST", {}, 404),
        (TELL, "PUT", {}, 405),
        (TELL, "POST", {"Content_Encoding": "br"}, 415),
        ("/v1/puppet/get_command_status", "POST", {}, 413),
        ("/v1/queue/x", "POST", {"X_Forwarded_For": "1.2.3.4"}, 403),
        ("/v1/modules/Puppet/progress", "POST", {"X_Forwarded_For": "1.2.3.4"}, 403),
        ("/v1/log", "POST", {"X_Forwarded_For": "1.2.3.4"}, 403),
    ):
        status, answer = await send(host.url, head(host.url, path, method, **long, **headers))
        assert status == expected, answer


async def test_a_body_that_stops_coming_ends(
    host: Host, puppet: Puppet, client: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "SILENCE_S", 0.2)
    begun = head(host.url, TELL, Content_Type=FORM, Content_Length=1000) + b"prompt="
    status, answer = await send(host.url, begun)
    assert status == 408 and "body: expected" in answer["error"]


async def test_a_slow_upload_that_makes_progress_is_read(
    host: Host, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "SILENCE_S", 2.0)
    monkeypatch.setattr(uploads, "LEAST_BYTES", 10)
    reader, writer = await connect(host.url)
    writer.write(head(host.url, TELL, Content_Type=FORM, Content_Length=107) + b"prompt=")
    for _ in range(10):
        writer.write(b"0123456789")
        await writer.drain()
    status = int((await reader.readline()).split()[1])
    writer.close()
    assert status == 200
    assert (await puppet.take())["payload"]["values"][0]["value"] == ["0123456789" * 10]


@given(st.text(), st.integers(3, 40))
def test_escapes_are_read_whatever_piece_they_fall_into(text: str, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "_UNQUOTED_BYTES", piece)
        assert bodies._decoded(quote_plus(text)) == text
        assert bodies._decoded("%zz%-" + quote_plus(text)) == "%zz%-" + text


async def test_a_large_file_comes_through(puppet: Puppet, client: Caller) -> None:
    data = bytes(range(256)) * 4096
    one = part("f", data).replace(b'"f"', b'"f"; filename="f.bin"')
    status, answer = await post(client, (MULTIPART, part("prompt", b"x") + one + b"--b--"))
    assert status == 200, answer
    (file,) = (await puppet.take())["payload"]["files"]
    assert base64.b64decode(file["data"]) == data and file["filename"] == "f.bin"
