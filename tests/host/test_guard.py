"""Who may ask: a foreign page or a rebound name gets nothing, on any path."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest
from puppet import Caller, Puppet, running_host, write_root

from host.web.guard import host_name

PATHS = [
    ("POST", "/v1/text/tell"),
    ("GET", "/v1/queue/puppet_queue?moduleId=Puppet&wait=0"),
    ("POST", "/v1/Puppet/get_command_status"),
    ("GET", "/v1/status/ping"),
    ("GET", "/v1/log/list"),
    ("POST", "/v1/log"),
    ("GET", "/"),
    ("GET", "/nowhere"),
]
REBOUND = {"Host": "evil.example:32168"}
DISGUISED = {"Host": "127.0.0.1#.evil.test"}
FOREIGN = {"Origin": "http://evil.example"}
NULL = {"Origin": "null"}
MALFORMED = {"Origin": "http://["}
IMAGE = {"Sec-Fetch-Site": "cross-site"}


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize("headers", [REBOUND, DISGUISED, FOREIGN, NULL, MALFORMED])
async def test_strangers_are_refused_on_every_path(
    client: Caller, method: str, path: str, headers: dict[str, str]
) -> None:
    status, reply = await client.call(method, path, headers=headers)
    assert status == 403 and not reply["success"] and next(iter(headers)) in reply["error"]


async def test_an_image_on_a_foreign_page_takes_no_work(puppet: Puppet, client: Caller) -> None:
    await client.tell()
    status, _ = await client.call("GET", PATHS[1][1], headers=IMAGE)
    assert status == 403
    assert await puppet.poll(wait=0) is not None


async def test_own_names_and_pages_pass(client: Caller) -> None:
    port = client.url.rsplit(":", 1)[1]
    for name in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        headers = {"Host": f"{name}:{port}", "Origin": f"http://{name}:{port}"}
        status, _ = await client.call("GET", "/v1/status/ping", headers=headers)
        assert status == 200, name


async def test_another_port_on_this_machine_is_foreign(client: Caller) -> None:
    headers = {"Origin": "http://127.0.0.1:1"}
    assert (await client.call("GET", "/v1/status/ping", headers=headers))[0] == 403


async def test_further_names_come_from_the_settings(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with running_host(write_root(tmp_path, AllowedHosts=["chat.office.example"])) as host:
        client = Caller(session, host.url)
        headers = {"Host": "chat.office.example"}
        assert (await client.call("GET", "/v1/status/ping", headers=headers))[0] == 200


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        ("A.example:1", "a.example"),
        ("[::1]:80", "::1"),
        ("a.example.", "a.example"),
        ("my_box:32168", "my_box"),
        ("[", ""),
        ("", ""),
        ("127.0.0.1#.evil.test", ""),
        ("127.0.0.1?.evil.test", ""),
        ("127.0.0.1/.evil.test", ""),
        ("127.0.0.1\\.evil.test", ""),
        ("evil.test@127.0.0.1", ""),
        ("127.0.0.1:80:80", ""),
        ("127.0.0.1:port", ""),
        ("localhost evil.test", ""),
        ("localhost\t", ""),
        ("[::1]evil.test", ""),
        ("[::1%25lo]", ""),
    ],
)
def test_the_name_in_an_authority(authority: str, name: str) -> None:
    assert host_name(authority) == name
