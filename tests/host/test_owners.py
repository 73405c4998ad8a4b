"""What belongs to whom: nothing of one is read, stopped, found, listed or guessed by another.

Invariant: the paths of the host are those in PATHS. One that is not among them makes these tests
fail: whoever adds it says here what others would try on it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from puppet import Caller, Puppet, running_host, write_root

from host.access.ended import EndedSessions
from host.access.keys import KeyFile
from host.access.principal import Role
from host.access.secret import module_token, open_secret, session_key
from host.access.sessions import Sessions
from host.app import Host

TOKEN = "a long secret"
UNKNOWN = "0123456789abcdef0123456789abcdef"

# How to ask each path about a command: method and path, and the values of a POST. `{id}` is the
# command's. Of a path under `*` every method that it has.
PATHS: dict[tuple[str, str], list[tuple[str, str, dict[str, str] | None]]] = {
    ("GET", "/"): [("GET", "/", None)],
    ("GET", "/pages/{name}"): [("GET", "/pages/explorer.js", None)],
    ("GET", "/health"): [("GET", "/health", None)],
    ("GET", "/v1/session"): [("GET", "/v1/session", None)],
    ("POST", "/v1/session"): [("POST", "/v1/session", {"key": "{id}"})],
    ("DELETE", "/v1/session"): [],  # it ends nobody's but one's own: test_session
    ("GET", "/explorer/fragment/{module_id}"): [("GET", "/explorer/fragment/Puppet", None)],
    ("GET", "/v1/module/list/explorer-html"): [("GET", "/v1/module/list/explorer-html", None)],
    ("POST", "/v1/explorer/markdown"): [("POST", "/v1/explorer/markdown", {"text": "{id}"})],
    ("GET", "/v1/status/ping"): [("GET", "/v1/status/ping", None)],
    ("GET", "/v1/server/status/ping"): [("GET", "/v1/server/status/ping", None)],
    ("GET", "/v1/module/list/status"): [("GET", "/v1/module/list/status", None)],
    ("GET", "/v1/log/list"): [("GET", "/v1/log/list?count=1000", None)],
    ("GET", "/v1/stats"): [("GET", "/v1/stats", None)],
    ("POST", "/v1/server/drain"): [("POST", "/v1/server/drain", {})],
    ("POST", "/v1/modules/{module_id}/restart"): [("POST", "/v1/modules/Puppet/restart", {})],
    ("GET", "/v1/queue/{queue}"): [
        ("GET", "/v1/queue/puppet_queue?moduleId=Puppet&instanceId=evil&wait=0", None)
    ],
    ("POST", "/v1/queue/{reqid}"): [("POST", "/v1/queue/{id}?moduleId=Puppet", {"reply": "evil"})],
    ("POST", "/v1/queue/updatemodulestatus/{module_id}"): [
        ("POST", "/v1/queue/updatemodulestatus/Puppet?instanceId=p1", {"statusData": "{}"})
    ],
    ("POST", "/v1/modules/{module_id}/progress"): [
        ("POST", "/v1/modules/Puppet/progress?instanceId=p1", {"commands": "{id}"})
    ],
    ("GET", "/v1/modules/{module_id}/control"): [
        ("GET", "/v1/modules/Puppet/control?instanceId=p1&wait=0", None)
    ],
    ("POST", "/v1/log"): [("POST", "/v1/log", {"entry": "evil"})],
    ("POST", "/v1/log/"): [("POST", "/v1/log/", {"entry": "evil"})],
    ("GET", "/v1/commands/{command_id}"): [("GET", "/v1/commands/{id}?wait=0", None)],
    ("DELETE", "/v1/commands/{command_id}"): [("DELETE", "/v1/commands/{id}", None)],
    ("GET", "/v1/commands/{command_id}/events"): [("GET", "/v1/commands/{id}/events", None)],
    ("*", "/v1/Puppet/get_command_status"): [
        ("POST", "/v1/Puppet/get_command_status", {"commandId": "{id}"}),
        ("GET", "/v1/Puppet/get_command_status?commandId={id}", None),
    ],
    ("*", "/v1/{module_id}/get_command_status"): [
        ("POST", "/v1/puppet/get_command_status", {"commandId": "{id}"}),
        ("GET", "/v1/puppet/get_command_status?commandId={id}", None),
    ],
    ("*", "/v1/Puppet/cancel_command"): [
        ("POST", "/v1/Puppet/cancel_command", {"commandId": "{id}"}),
        ("GET", "/v1/Puppet/cancel_command?commandId={id}", None),
    ],
    ("*", "/v1/{module_id}/cancel_command"): [
        ("POST", "/v1/puppet/cancel_command", {"commandId": "{id}"}),
        ("GET", "/v1/puppet/cancel_command?commandId={id}", None),
    ],
    (
        "*",
        "/v1/text/talk",
    ): [],  # they begin a command: test_idempotency has what is known of others'
    ("*", "/v1/text/tell"): [],
    ("*", "/v1/{path}"): [
        ("GET", "/v1/commands/", None),
        ("GET", "/v1/commands/{id}/", None),
        ("GET", "/v1//commands/{id}", None),
        ("POST", "/v1/puppet/get_command_status/", {"commandId": "{id}"}),
    ],
}

# Said here once more: what is taken away from the table in host/web/doors.py fails.
ANYBODY = {"/", "/pages/{name}", "/health", "/v1/session"}
OPERATORS = {"/v1/log/list", "/v1/server/drain", "/v1/modules/{module_id}/restart"}
MODULES = {
    *("/v1/queue/{queue}", "/v1/queue/{reqid}", "/v1/queue/updatemodulestatus/{module_id}"),
    *("/v1/modules/{module_id}/progress", "/v1/modules/{module_id}/control"),
    *("/v1/log", "/v1/log/"),
}


@dataclass
class Actor(Caller):
    """Somebody, with a command of their own where they may have one."""

    session: aiohttp.ClientSession
    url: str
    name: str
    headers: dict[str, str]
    is_module: bool = False
    command_id: str = ""

    @property
    def secret(self) -> str:
        return f"what {self.name} asks"

    async def ask(self, method: str, path: str, values: Any) -> tuple[int, str]:
        body = {} if values is None else {"json": values}
        url, headers = self.url + path, self.headers
        async with self.session.request(method, url, headers=headers, **body) as reply:
            return reply.status, await reply.text()

    async def begin(self) -> None:
        status, text = await self.ask("POST", "/v1/text/tell", {"prompt": self.secret})
        assert status == 200, (self.name, text)
        self.command_id = json.loads(text)["commandId"]

    async def state(self) -> str:
        status, text = await self.ask("GET", f"/v1/commands/{self.command_id}", None)
        assert status == 200, (self.name, text)
        return str(json.loads(text)["state"])


def browser(secret: bytes, folder: Path, key_id: str | None = None) -> dict[str, str]:
    """The headers of a browser that has a session."""
    sessions = Sessions(session_key(secret), EndedSessions(folder))
    return {"Cookie": f"{sessions.cookie}={sessions.make(key_id)}"}


def by(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """It keeps no cookie: each request shows what its actor has."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as made:
        yield made


@asynccontextmanager
async def host_of(
    root: Path, session: aiohttp.ClientSession, headers: dict[str, dict[str, str]], token: str
) -> AsyncIterator[tuple[Host, list[Actor]]]:
    """With a module, the last of the actors, that shows the token, and a command of each other."""
    async with running_host(root) as host:
        async with aiohttp.ClientSession(headers=by(token)) as modules:
            puppet = Puppet(modules, host.url)
            await puppet.poll(wait=0)
            actors = [Actor(session, host.url, name, said) for name, said in headers.items()]
            for actor in actors:
                await actor.begin()
            held = [actor.command_id for actor in actors]
            await puppet.tell_status(state="ready", commands=held)
        module = Actor(session, host.url, "the module", by(token), is_module=True)
        yield host, [*actors, module]


@asynccontextmanager
async def without_keys(
    folder: Path, session: aiohttp.ClientSession
) -> AsyncIterator[tuple[Host, list[Actor]]]:
    """Two addresses behind a proxy, and two browsers at one of them."""
    root = write_root(folder, ModuleToken=TOKEN, TrustedProxies=["127.0.0.1"])
    secret = open_secret(folder / "data")
    at, there = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
    headers = {
        "one address": at,
        "another address": there,
        "one browser": at | browser(secret, folder),
        "another browser": at | browser(secret, folder),
        "this machine": {},
    }
    async with host_of(root, session, headers, TOKEN) as made:
        yield made


@asynccontextmanager
async def with_keys(
    folder: Path, session: aiohttp.ClientSession
) -> AsyncIterator[tuple[Host, list[Actor]]]:
    """Two keys, and two browsers that signed in with others."""
    data = folder / "data"
    keys, secret = KeyFile(data), open_secret(data)
    (_, one), (_, two) = (keys.add(name, [Role.CHAT]) for name in ("one", "two"))
    (three, _), (four, _) = (keys.add(name, [Role.CHAT]) for name in ("three", "four"))
    headers = {
        "one key": by(one),
        "another key": by(two),
        "one browser": browser(secret, data, three.id),
        "another browser": browser(secret, data, four.id),
    }
    async with host_of(write_root(folder), session, headers, module_token(secret)) as made:
        yield made


@pytest.fixture(params=[without_keys, with_keys])
async def actors(
    request: pytest.FixtureRequest, tmp_path: Path, session: aiohttp.ClientSession
) -> AsyncIterator[list[Actor]]:
    """All on one host, on which every path is known here."""
    async with request.param(tmp_path, session) as (host, found):
        assert paths_of(host) == set(PATHS), "say in PATHS what others would try on a new path"
        yield found


@pytest.fixture
async def closed(
    tmp_path: Path, session: aiohttp.ClientSession
) -> AsyncIterator[tuple[Host, list[Actor]]]:
    """A host with keys, and who is there."""
    async with with_keys(tmp_path, session) as made:
        yield made


def paths_of(host: Host) -> set[tuple[str, str]]:
    assert host._runner is not None
    routes = host._runner.app.router.routes()
    return {
        (route.method, route.resource.canonical)
        for route in routes
        if route.resource is not None and route.method != "HEAD"
    }


def probes(actor: Actor) -> list[tuple[str, str, dict[str, str] | None]]:
    """What somebody tries. A module takes work, which is everybody's."""
    return [
        probe
        for (_, path), tried in PATHS.items()
        if not (actor.is_module and path in MODULES) and path != "/v1/server/drain"
        for probe in tried
    ]


def about(probe: tuple[str, str, dict[str, str] | None], command_id: str) -> Any:
    return json.loads(json.dumps(probe).replace("{id}", command_id))


def without_times(text: str) -> Any:
    try:
        body = json.loads(text)
    except ValueError:
        return text
    for name in ("timestampUTC", "analysisRoundTripMs"):
        body.pop(name, None)
    return body


async def test_on_every_path_anothers_command_is_one_that_never_was(actors: list[Actor]) -> None:
    for actor in actors:
        for probe in probes(actor):
            status, unknown = await actor.ask(*about(probe, UNKNOWN))
            for other in actors:
                if other is actor or not other.command_id:
                    continue
                found, text = await actor.ask(*about(probe, other.command_id))
                assert found == status, (actor.name, other.name, probe, text)
                same = unknown.replace(UNKNOWN, other.command_id)
                if "{id}" in json.dumps(probe):
                    assert without_times(text) == without_times(same), (actor.name, probe)
                else:
                    assert other.command_id not in text, (actor.name, probe)
                assert other.secret not in text, (actor.name, probe)
    assert [await one.state() for one in actors if one.command_id] == ["queued"] * sum(
        bool(one.command_id) for one in actors
    )


async def test_modules_and_operators_paths_are_for_them_alone(actors: list[Actor]) -> None:
    for actor in actors:
        for (_, path), tried in PATHS.items():
            is_theirs = path in MODULES or actor.headers == by(TOKEN)  # which operators show too
            if path not in OPERATORS | MODULES or (actor.is_module and is_theirs):
                continue
            for probe in tried:
                status, text = await actor.ask(*about(probe, UNKNOWN))
                assert status in (401, 403), (actor.name, probe, text)


async def test_a_stranger_gets_nothing_but_the_page_where_there_are_keys(
    closed: tuple[Host, list[Actor]],
) -> None:
    host, actors = closed
    strangers = [
        {},
        {"Authorization": "Bearer lc_made-up"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Cookie": "llamachat_x=made.up.1.2"},
    ]
    for headers in strangers:
        stranger = Actor(actors[0].session, host.url, "a stranger", headers)
        for (_, path), tried in PATHS.items():
            for probe in tried or [("POST", path, {"prompt": "hi"})]:
                status, text = await stranger.ask(*about(probe, actors[0].command_id))
                if path in ANYBODY:
                    continue
                assert status == 401 and "llamachat keys add" in text, (headers, probe, text)


async def test_a_modules_route_opens_nothing(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    """Also not where it is named as a path that everybody may use."""
    root = write_root(tmp_path)
    file = root / "modules" / "Puppet" / "modulesettings.json"
    file.write_text(file.read_text().replace('"text/talk"', '"session"'))
    KeyFile(root / "data").add("anna", [Role.CHAT])
    async with running_host(root) as host:
        for method in ("PUT", "PATCH", "OPTIONS"):
            async with session.request(method, host.url + "/v1/session") as reply:
                assert reply.status == 401, method


async def test_an_operator_reads_and_stops_all(closed: tuple[Host, list[Actor]]) -> None:
    host, actors = closed
    shown = KeyFile(Path(host.server.root_path) / "data").add("op", [Role.OPERATOR])[1]
    operator = Actor(actors[0].session, host.url, "the operator", by(shown))
    for actor in actors[:-1]:
        status, _ = await operator.ask("GET", f"/v1/commands/{actor.command_id}", None)
        assert status == 200
        values = {"commandId": actor.command_id}
        assert (await operator.ask("POST", "/v1/Puppet/cancel_command", values))[0] == 200
        assert await actor.state() == "cancelled"


async def test_who_owns_a_command_is_kept(closed: tuple[Host, list[Actor]]) -> None:
    """A key is the same one after a restart, and so is a browser's session."""
    host, actors = closed
    await host.stop()
    async with running_host(Path(host.server.root_path)) as again:
        for actor in actors[:-1]:
            actor.url = again.url
            assert await actor.state() == "queued"
