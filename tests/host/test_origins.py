"""Pages of other origins: refused, or let in by the settings and then as guests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from puppet import Caller, Puppet, running_host, write_root

from host.settings import SettingsError, load_settings

MINE = "http://localhost:5173"
PAGE = {"Origin": MINE}
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)", "Host": "chat.office.example"}
POLL = "/v1/queue/puppet_queue?moduleId=Puppet&instanceId=p1&wait=0"


@pytest.fixture
async def client(tmp_path: Path, session: aiohttp.ClientSession) -> AsyncIterator[Caller]:
    """Of a host that lets one origin in, and has a name of its own."""
    root = write_root(
        tmp_path,
        AllowedOrigins=[MINE, "HTTPS://Chat.Example:443"],
        AllowedHosts=["chat.office.example"],
    )
    async with running_host(root) as host:
        yield Caller(session, host.url)


async def test_the_refusal_names_the_setting(client: Caller) -> None:
    for origin in ("http://evil.example", "null", "http://localhost:5174", "http://["):
        status, reply = await client.call("POST", "/v1/text/tell", headers={"Origin": origin})
        assert status == 403 and "Server.AllowedOrigins" in reply["error"], origin


async def test_a_page_that_is_let_in_reads_answers_and_refusals(client: Caller) -> None:
    await Puppet(client.session, client.url).poll(wait=0)
    for path, expected in (("/v1/text/tell", 200), ("/v1/nowhere", 404)):
        async with client.session.post(
            client.url + path, json={"prompt": "hi"}, headers=PAGE
        ) as reply:
            assert reply.status == expected
            assert reply.headers["Access-Control-Allow-Origin"] == MINE
            assert reply.headers["Vary"] == "Origin"
            assert "Access-Control-Allow-Credentials" not in reply.headers


async def test_its_events_are_readable_too(client: Caller) -> None:
    puppet = Puppet(client.session, client.url)
    await puppet.poll(wait=0)
    started = await client.post("/v1/text/tell", {"prompt": "hello"}, headers=PAGE)
    command_id = started["commandId"]
    await puppet.finish(await puppet.take(), 0, "done")
    url = f"{client.url}/v1/commands/{command_id}/events"
    async with client.session.get(url, headers=PAGE) as reply:
        assert reply.headers["Access-Control-Allow-Origin"] == MINE
        assert "event: done" in await reply.text()


async def test_a_preflight_is_answered_for_it_alone(client: Caller) -> None:
    asks = {"Access-Control-Request-Method": "POST"}
    url = client.url + "/v1/text/tell"
    async with client.session.options(url, headers={**PAGE, **asks}) as reply:
        assert reply.status == 204
        assert reply.headers["Access-Control-Allow-Origin"] == MINE
        assert "Authorization" in reply.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Credentials" not in reply.headers
    foreign = {"Origin": "http://evil.example"}
    async with client.session.options(url, headers={**foreign, **asks}) as reply:
        assert reply.status == 403 and "Access-Control-Allow-Origin" not in reply.headers


async def test_its_page_is_no_local_user(client: Caller) -> None:
    """It is on this machine, and yet it must show the token for what operators do."""
    for path in ("/v1/server/drain", "/v1/modules/Puppet/restart", "/v1/log"):
        status, _ = await client.call("POST", path, headers=PAGE)
        assert status == 403, path


async def test_everybody_is_told_that_answers_vary(client: Caller) -> None:
    async with client.session.get(client.url + "/v1/status/ping") as reply:
        assert reply.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Origin" not in reply.headers


async def test_no_browser_takes_a_modules_work(client: Caller) -> None:
    """Over plain HTTP on a name, an image of another site shows nothing but that it is one."""
    puppet = Puppet(client.session, client.url)
    await puppet.poll(wait=0)
    await client.tell()
    for sign in ("Sec-Fetch-Site", "Sec-Fetch-Mode", "Referer"):
        status, _ = await client.call("GET", POLL, headers={sign: "none"})
        assert status == 403, sign
    for path in (POLL, "/v1/modules/Puppet/control?instanceId=p1&wait=0"):
        assert (await client.call("GET", path, headers=BROWSER))[0] == 403
    assert await puppet.poll(wait=0) is not None


async def test_a_get_cancels_nothing(client: Caller) -> None:
    puppet = Puppet(client.session, client.url)
    await puppet.poll(wait=0)
    command_id = await client.tell()
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        path = f"/v1/Puppet/cancel_command?commandId={command_id}"
        async with client.session.request(method, client.url + path) as reply:
            assert reply.status == 405 and reply.headers["Allow"] == "POST", method
    assert (await client.status(command_id))["state"] == "queued"


async def test_a_form_of_another_site_cancels_nothing(client: Caller) -> None:
    await Puppet(client.session, client.url).poll(wait=0)
    command_id = await client.tell()
    headers = {**BROWSER, "Origin": "http://evil.example"}
    status, _ = await client.call(
        "POST", "/v1/Puppet/cancel_command", data={"commandId": command_id}, headers=headers
    )
    assert status == 403
    assert (await client.status(command_id))["state"] == "queued"


async def test_a_link_on_another_site_reads_nothing(client: Caller) -> None:
    for referer, expected in (
        ("http://evil.example/page", 403),
        ("nonsense", 403),
        (f"{client.url}/", 200),
        (f"{client.url}/page?x=http://y", 200),
    ):
        status, _ = await client.call("GET", "/v1/status/ping", headers={"Referer": referer})
        assert status == expected, referer


@pytest.mark.parametrize(
    "origin",
    ["null", "*", "http://*.example", "localhost:5173", "http://a.example/", "", "http://"],
)
def test_an_origin_that_is_none_is_refused_in_the_settings(tmp_path: Path, origin: str) -> None:
    with pytest.raises(SettingsError, match=r"Server.AllowedOrigins\[0\]: expected an origin"):
        load_settings(write_root(tmp_path, AllowedOrigins=[origin]))


def test_origins_are_kept_as_browsers_spell_them(tmp_path: Path) -> None:
    spelled = ["HTTPS://Chat.Example:443", "http://[::1]:80", "http://a.example:8080"]
    server = load_settings(write_root(tmp_path, AllowedOrigins=spelled)).server
    assert server.allowed_origins == [
        "https://chat.example",
        "http://[::1]",
        "http://a.example:8080",
    ]
