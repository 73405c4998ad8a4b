"""Large values as JSON in pieces, and what was asked on its way through the host, unread."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from typing import Any

import aiohttp
import pytest
from puppet import Caller, Puppet

from host.asked import StoredPayload
from host.json_pieces import PIECE_CHARS, json_pieces
from host.web.base64_text import base64_text
from host.web.multipart import _SEARCHED_BYTES, parts_of

LONG = 'a\n"\\中\U0001f1e8\x01' * 40_000
HALF = "\ud83d" * 3 * PIECE_CHARS


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "short \ud83d",
        {},
        [],
        LONG,
        HALF,
        [LONG, "", LONG],
        {"values": [{"key": "é\ud83d", "value": [LONG, "x"]}] * 3, "files": [], "n": 1.5},
        {"a": {"b": [[LONG]]}, "c": None, LONG[:10]: True},
    ],
)
def test_the_pieces_are_the_json_of_the_value(value: Any) -> None:
    pieces = list(json_pieces(value))
    assert json.loads(b"".join(pieces)) == value
    assert max(map(len, pieces)) < 8 * PIECE_CHARS


def test_small_values_are_one_piece() -> None:
    assert len(list(json_pieces({"values": [{"key": "k", "value": ["x"]}] * 1000}))) == 1
    assert len(list(json_pieces([LONG, *["x"] * 1000]))) < 10


@pytest.mark.parametrize("size", [0, 1, 2, 3, 3 * 2**17 - 1, 3 * 2**17 + 1, 2**20 + 5])
def test_a_file_as_base64(size: int) -> None:
    data = secrets.token_bytes(size)
    assert base64_text(data) == base64.b64encode(data).decode()


@pytest.mark.parametrize("shift", [-80, -40, -9, -8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 9])
def test_a_boundary_across_two_searches(shift: int) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n'
    data = b"x" * (_SEARCHED_BYTES - len(head) + shift)
    body = head + data + b"\r\n" + head + b"y\r\n--b--\r\n"
    first, second = parts_of(body, "multipart/form-data; boundary=b")
    assert (first.data, second.data) == (data, b"y")


@pytest.mark.parametrize(
    ("asked", "files"),
    [
        (b'{"values":[1],"files":[]}', b"[]"),
        (b'{"values":[1]}', b'[{"data":"eA=="}]'),
        (b'{"values": [1], "files": []}', b'[{"data":"eA=="}]'),  # as version 1 wrote it
    ],
)
def test_what_a_store_has_is_read_when_somebody_looks(asked: bytes, files: bytes) -> None:
    stored = StoredPayload([asked[:5], asked[5:]], [files])
    expected = {"values": [1], "files": json.loads(files)}
    assert json.loads(b"".join(stored.pieces)) == expected
    assert stored and stored == expected and stored["values"] == [1] and len(stored) == 2


@pytest.mark.parametrize("size", [10, 1_000_000])
async def test_what_was_asked_goes_through_unread(
    puppet: Puppet, client: Caller, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StoredPayload, "_read", None)
    data = secrets.token_bytes(size)
    form = aiohttp.FormData({"prompt": "x" * size})
    form.add_field("photo", data, filename="p.jpg")
    await client.call("POST", "/v1/text/tell", data=form)
    work = await puppet.take()
    assert work["attempt"] and work["processedBy"] and work["longProcess"]
    assert work["payload"]["values"] == [{"key": "prompt", "value": ["x" * size]}]
    (file,) = work["payload"]["files"]
    assert base64.b64decode(file["data"]) == data and file["filename"] == "p.jpg"


async def test_a_large_ordinary_command_comes_whole_too(puppet: Puppet, client: Caller) -> None:
    prompt = "x中" * (PIECE_CHARS // 2 + 1)
    asking = asyncio.create_task(client.post("/v1/text/talk", {"prompt": prompt}))
    work = await puppet.take()
    assert work["payload"]["values"] == [{"key": "prompt", "value": [prompt]}]
    await puppet.answer(work, success=True)
    await asking
