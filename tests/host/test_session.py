"""Browsers sign in with a key, and out; without keys each has a session of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http.cookies import Morsel
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from puppet import Caller, Puppet, running_host, write_root

from host.access.keys import KeyFile
from host.access.principal import Role
from host.app import Host


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    """It keeps cookies, as browsers do, also those of an address."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as made:
        yield made


@pytest.fixture
async def other() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as made:
        yield made


async def set_cookie(
    browser: aiohttp.ClientSession, host: Host, **headers: str
) -> Morsel[str] | None:
    """What the page's question sets."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with browser.get(host.url + "/v1/session", headers=named) as reply:
        return next(iter(reply.cookies.values()), None)


async def test_without_keys_every_browser_has_a_session(
    host: Host, browser: aiohttp.ClientSession, other: aiohttp.ClientSession
) -> None:
    cookie = await set_cookie(browser, host)
    assert cookie is not None and cookie["httponly"] and cookie["samesite"] == "Strict"
    assert not cookie["secure"] and cookie["path"] == "/"
    assert await set_cookie(browser, host) is None, "it has one"
    await set_cookie(other, host)
    async with aiohttp.ClientSession() as modules:
        await Puppet(modules, host.url).poll(wait=0)
    one, two = Caller(browser, host.url), Caller(other, host.url)
    path = f"/v1/commands/{await one.tell()}"
    assert (await one.call("GET", path))[0] == 200
    assert (await two.call("GET", path))[0] == 404
    assert (await one.call("GET", "/v1/log/list"))[0] == 200, "they are on this machine"


async def test_a_cookie_is_secure_where_the_browser_speaks_https(
    tmp_path: Path, browser: aiohttp.ClientSession
) -> None:
    async with running_host(write_root(tmp_path, TrustedProxies=["127.0.0.1"])) as host:
        cookie = await set_cookie(browser, host, X_Forwarded_Proto="https")
        assert cookie is not None and cookie["secure"]


async def test_a_page_of_another_site_gets_no_cookie(
    tmp_path: Path, browser: aiohttp.ClientSession
) -> None:
    mine = "http://localhost:5173"
    async with running_host(write_root(tmp_path, AllowedOrigins=[mine])) as host:
        assert await set_cookie(browser, host, Origin=mine) is None
        client = Caller(browser, host.url)
        for method in ("POST", "DELETE"):
            headers = {"Origin": mine}
            status, _ = await client.call(method, "/v1/session", json={}, headers=headers)
            assert status == 403


async def test_signing_in_and_out(
    tmp_path: Path, browser: aiohttp.ClientSession, other: aiohttp.ClientSession
) -> None:
    keys = KeyFile(tmp_path / "data")
    shown = keys.add("anna", [Role.CHAT])[1]
    async with running_host(write_root(tmp_path)) as host:
        client = Caller(browser, host.url)
        status, body = await client.call("GET", "/v1/session")
        assert status == 401 and "llamachat keys add" in body["error"]
        status, body = await client.call("POST", "/v1/session", json={"key": "lc_wrong"})
        assert status == 401 and body["error"].startswith("key: expected a key of this host")
        body = await client.post("/v1/session", {"key": f" {shown}\n"})
        said = {"name": "anna", "roles": ["chat"], "needsKey": True}
        assert said.items() <= body.items()
        assert said.items() <= (await client.call("GET", "/v1/session"))[1].items()
        assert (await client.call("GET", "/v1/stats"))[0] == 200

        copied = {one.key: one.value for one in browser.cookie_jar}
        thief = Caller(other, host.url)
        assert (await thief.call("GET", "/v1/stats", cookies=copied))[0] == 200
        assert (await client.call("DELETE", "/v1/session"))[0] == 200
        assert list(browser.cookie_jar) == []
        assert (await thief.call("GET", "/v1/stats", cookies=copied))[0] == 401
    async with running_host(tmp_path) as again:
        thief = Caller(other, again.url)
        assert (await thief.call("GET", "/v1/stats", cookies=copied))[0] == 401, "it stays ended"


async def test_a_session_goes_with_its_key(tmp_path: Path, browser: aiohttp.ClientSession) -> None:
    keys = KeyFile(tmp_path / "data")
    shown = keys.add("anna", [Role.CHAT])[1]
    async with running_host(write_root(tmp_path)) as host:
        client = Caller(browser, host.url)
        await client.post("/v1/session", {"key": shown})
        assert (await client.call("GET", "/v1/stats"))[0] == 200
        keys.revoke("anna")
        assert (await client.call("GET", "/v1/stats"))[0] == 401


@pytest.mark.parametrize("body", [{}, {"key": 5}, [], "x", {"key": "x" * 5000}])
async def test_what_is_no_key_is_refused(host: Host, client: Caller, body: Any) -> None:
    status, said = await client.call("POST", "/v1/session", json=body)
    assert status in (400, 401, 413) and said["error"]
