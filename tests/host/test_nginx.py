"""A host with keys behind a real nginx: strangers get the page and `/health`, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from nginx import NAME, bare, deployed, free_port, needs_nginx, nginx
from puppet import Puppet, running_host, write_root
from test_owners import ANYBODY, MODULES, OPERATORS, PATHS, Actor, about, by, paths_of

from host.access.keys import KeyFile
from host.access.principal import Role
from host.access.secret import module_token, open_secret
from host.app import Host

pytestmark = needs_nginx

Config = Callable[[int, str, Path], str]


@dataclass
class Behind:
    """A host, the address of the nginx before it, and what requests to there show."""

    host: Host
    url: str
    headers: dict[str, str]
    session: aiohttp.ClientSession

    def actor(self, **headers: str) -> Actor:
        return Actor(self.session, self.url, "somebody", {**self.headers, **headers})


@asynccontextmanager
async def behind(folder: Path, config: Config, **server: Any) -> AsyncIterator[Behind]:
    root = write_root(folder / "root", AllowedHosts=[NAME], TrustedProxies=["127.0.0.1"], **server)
    (folder / "nginx").mkdir()
    port, is_tls = free_port(), config is deployed
    connector = aiohttp.TCPConnector(ssl=False)
    jar = aiohttp.DummyCookieJar()
    async with (
        running_host(root) as host,
        nginx(folder / "nginx", config(port, host.url, folder / "nginx"), port),
        aiohttp.ClientSession(connector=connector, cookie_jar=jar) as session,
    ):
        headers = {"Host": f"{NAME}:{port}"} if is_tls else {}
        url = f"{'https' if is_tls else 'http'}://127.0.0.1:{port}"
        yield Behind(host, url, headers, session)


@pytest.fixture(params=[bare, deployed], ids=["bare", "as documented"])
def config(request: pytest.FixtureRequest) -> Config:
    found: Config = request.param
    return found


async def test_strangers_get_the_page_and_health(tmp_path: Path, config: Config) -> None:
    KeyFile(tmp_path / "root" / "data").add("anna", [Role.CHAT])
    async with behind(tmp_path, config) as made:
        assert paths_of(made.host) == set(PATHS)
        stranger = made.actor()
        for (_, path), tried in PATHS.items():
            for probe in tried or [("POST", path, {"prompt": "hi"})]:
                status, text = await stranger.ask(*about(probe, "0" * 32))
                if path in ANYBODY:
                    continue
                assert status == 401, (probe, text)
        assert (await stranger.ask("GET", "/health", None)) == (200, '{"status": "ok"}')
        assert (await stranger.ask("GET", "/", None))[0] == 200


async def test_a_key_gets_through(tmp_path: Path, config: Config) -> None:
    data = tmp_path / "root" / "data"
    shown = KeyFile(data).add("anna", [Role.CHAT])[1]
    async with behind(tmp_path, config) as made:
        token = by(module_token(open_secret(data)))
        async with aiohttp.ClientSession(headers=token) as modules:
            puppet = Puppet(modules, made.host.url)
            await puppet.poll(wait=0)
            anna = made.actor(**by(shown))
            await anna.begin()
            path = f"/v1/commands/{anna.command_id}/events"
            reading = asyncio.create_task(anna.ask("GET", path, None))
            await puppet.finish(await puppet.take(), 0, "Hello.")
            status, text = await reading
        assert status == 200 and "event: done" in text and "Hello." in text
        assert (await anna.ask("GET", "/v1/log/list", None))[0] == 403


async def test_a_browser_signs_in_over_https(tmp_path: Path) -> None:
    shown = KeyFile(tmp_path / "root" / "data").add("anna", [Role.CHAT])[1]
    async with behind(tmp_path, deployed) as made:
        origin = {**made.headers, "Origin": "https://" + made.headers["Host"]}
        url = made.url + "/v1/session"
        async with made.session.post(url, json={"key": shown}, headers=origin) as reply:
            assert reply.status == 200, await reply.text()
            [cookie] = reply.cookies.values()
        assert cookie["secure"] and cookie["httponly"]
        browser = made.actor(Cookie=f"{cookie.key}={cookie.value}")
        assert (await browser.ask("GET", "/v1/stats", None))[0] == 200


async def test_before_a_module_token_nobody_is_a_module_or_an_operator(
    tmp_path: Path, config: Config
) -> None:
    """Without keys everybody may chat; what is for modules and operators needs the token."""
    async with behind(tmp_path, config, ModuleToken="a long secret") as made:
        stranger = made.actor()
        for (_, path), tried in PATHS.items():
            for probe in tried if path in OPERATORS | MODULES else []:
                status, text = await stranger.ask(*about(probe, "0" * 32))
                assert status == 401 and "Server.ModuleToken" in text, (probe, text)
