"""Every example module on a real host, as a client uses it; and its own self-test."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from puppet import Caller, running_host

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/modulesettings.json"))


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Caller]:
    """Of a host that runs them all."""
    server = {"Port": 0, "Store": "memory", "DataDir": "data", "ModuleFolders": [str(EXAMPLES)]}
    settings = json.dumps({"Server": server})
    (tmp_path / "modulesettings.json").write_text(settings, encoding="utf-8")
    async with running_host(tmp_path) as host, aiohttp.ClientSession() as session:
        yield Caller(session, host.url)


async def ended(client: Caller, route: str, **request: Any) -> dict[str, Any]:
    status, started = await client.call("POST", f"/v1/example/{route}", **request)
    assert status == 200 and "warnings" not in started, started
    path = f"/v1/commands/{started['commandId']}"
    while True:
        status, body = await client.call("GET", path, params={"wait": 20})
        if body["state"] not in ("queued", "running"):
            return body


def upload(**fields: str) -> aiohttp.FormData:
    form = aiohttp.FormData(fields)
    form.add_field("image1", b"abc", filename="abc.txt")
    return form


async def test_each_as_a_client_uses_it(client: Caller) -> None:
    assert (await client.post("/v1/example/add", {"a": 1, "b": 2.5}))["sum"] == 3.5
    status, body = await client.call("POST", "/v1/example/add", json={"a": 1})
    assert (status, body["error"]) == (400, "b: expected a number, got 'nothing'")

    jobs = [ended(client, "countdown", json={"start": 5, "pause_ms": 10}) for _ in range(20)]
    assert {one["reply"] for one in await asyncio.gather(*jobs)} == {"5 4 3 2 1 0 "}

    words = " ".join(["stressed", "live"] * 20)
    jobs = [ended(client, "reverse", json={"text": words}) for _ in range(8)]
    replies = await asyncio.gather(*jobs)
    assert {(one["state"], one["reply"]) for one in replies} == {
        ("completed", "desserts evil " * 20)
    }

    body = await ended(client, "digest", data=upload(algorithm="sha512"))
    assert body["reply"] == hashlib.sha512(b"abc").hexdigest() and body["bytesRead"] == 3
    status, body = await client.call("POST", "/v1/example/digest", json={})
    assert status == 400 and body["error"].startswith("file: expected a file")
    status, body = await client.call("POST", "/v1/example/digest", data=upload(algorithm="md4"))
    assert status == 400 and "one of sha256, sha512, blake2b" in body["error"]


async def test_each_tests_itself() -> None:
    async def selftest(name: str) -> int:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "host", "selftest", str(EXAMPLES / name)), cwd=ROOT
        )
        return await process.wait()

    codes = await asyncio.gather(*map(selftest, NAMES))
    assert dict(zip(NAMES, codes, strict=True)) == dict.fromkeys(NAMES, 0)
