"""Keys: made, shown once, revoked; and a host that is reached by others starts with them alone."""

from __future__ import annotations

import asyncio
import hashlib
import json
import stat
from pathlib import Path

import aiohttp
import pytest
from puppet import Caller, Puppet, running_host, write_root
from test_cli import llamachat, result

from host.access.keys import KeyFile, KeyRefused
from host.access.opening import OpenToStrangers, is_reached_by_others
from host.access.principal import Role
from host.access.secret import module_token, open_secret, own_token
from host.app import Host
from host.cli.whereabouts import announced, token_for
from host.settings import load_settings


def test_a_key_is_shown_once_and_kept_as_its_digest(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path)
    key, shown = keys.add("anna", [Role.CHAT])
    assert shown.startswith("lc_") and len(shown) > 40
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    kept = keys.path.read_text()
    assert shown not in kept and shown[3:] not in kept
    assert json.loads(kept)["keys"][0]["digest"] == hashlib.sha256(shown.encode()).hexdigest()
    assert KeyFile(tmp_path).all() == [key]


def test_names_are_one_each_and_of_this_file(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path)
    keys.add("anna", [Role.CHAT])
    with pytest.raises(KeyRefused, match="there is a key 'anna' already"):
        keys.add("anna", [Role.CHAT])
    with pytest.raises(KeyRefused, match=r"expected the name of a key \(anna\), got 'bob'"):
        keys.revoke("bob")
    for name in ("", "x" * 101, "a\nb"):
        with pytest.raises(KeyRefused, match="NAME: expected 1 to 100 printable"):
            keys.add(name, [Role.CHAT])


async def test_the_command(tmp_path: Path) -> None:
    where = ("--data-dir", str(tmp_path))
    code, out, err = await result(await llamachat("keys", "add", "anna", *where))
    assert code == 0, err
    shown, said = out.split("\n\n")
    assert "This is the key of anna (chat). It is shown this once." in said
    assert "From now on the host lets nobody in without a key" in said
    roles = ("--role", "operator", "--role", "module")
    assert (await result(await llamachat("keys", "add", "op", *roles, *where)))[0] == 0
    _, out, _ = await result(await llamachat("keys", "list", *where))
    anna, op = out.splitlines()
    assert anna.split()[2:] == ["chat", "anna"] and op.split()[2:] == ["module,", "operator", "op"]
    assert shown not in out
    code, out, _ = await result(await llamachat("keys", "revoke", "anna", *where))
    assert (code, out) == (0, "The key of anna lets nobody in any more.\n")
    _, out, _ = await result(await llamachat("keys", "revoke", op.split()[0], *where))
    assert f"the host stays closed. To open it, remove {KeyFile(tmp_path).path}" in out
    code, _, err = await result(await llamachat("keys", "revoke", "anna", *where))
    assert code == 1 and "expected the name of a key (none), got 'anna'" in err


@pytest.mark.parametrize("waits", ["events", "poll"])
async def test_revoking_ends_what_is_open(
    tmp_path: Path, session: aiohttp.ClientSession, waits: str
) -> None:
    """A running host sees it within a second."""
    data = tmp_path / "data"
    keys = KeyFile(data)
    shown = keys.add("anna", [Role.CHAT])[1]
    key = {"Authorization": f"Bearer {shown}"}
    async with running_host(write_root(tmp_path)) as host:
        token = {"Authorization": f"Bearer {module_token(open_secret(data))}"}
        async with aiohttp.ClientSession(headers=token) as modules:
            await Puppet(modules, host.url).poll(wait=0)
        client = Caller(session, host.url)
        begun = await client.post("/v1/text/tell", {"prompt": "hi"}, headers=key)
        path = f"/v1/commands/{begun['commandId']}"
        path += "/events" if waits == "events" else "?wait=30&offset=0"
        await until_open(host, 0)
        waiting = asyncio.create_task(client.call("GET", path, headers=key))
        await until_open(host, 1)
        keys.revoke("anna")
        status, _ = await client.call("GET", path, headers=key)
        assert status == 401, "at once"
        [ended] = await asyncio.wait_for(asyncio.gather(waiting, return_exceptions=True), 5)
        # cut off; this client asks once more where nothing had come yet
        assert isinstance(ended, aiohttp.ClientError) or (waits == "poll" and ended[0] == 401)
        await until_open(host, 0)


async def until_open(host: Host, count: int) -> None:
    """Until so many requests with keys are being answered."""
    while host._open_requests.count != count:  # noqa: ASYNC110  nobody tells it
        await asyncio.sleep(0.001)


async def test_the_first_key_closes_a_running_host(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with running_host(write_root(tmp_path)) as host:
        client = Caller(session, host.url)
        assert (await client.call("GET", "/v1/stats"))[0] == 200
        async with aiohttp.ClientSession() as modules:
            await Puppet(modules, host.url).poll(wait=0)
        path = f"/v1/commands/{await client.tell()}/events"
        events = await session.get(host.url + path)
        shown = KeyFile(tmp_path / "data").add("anna", [Role.CHAT])[1]
        key = {"Authorization": f"Bearer {shown}"}
        assert (await client.call("GET", "/v1/stats", headers=key))[0] == 200
        status, body = await client.call("GET", "/v1/stats")
        assert status == 401 and "`llamachat keys add NAME`" in body["error"]
        with pytest.raises(aiohttp.ClientError):  # what was open before
            await asyncio.wait_for(events.read(), 5)
        async with session.get(host.url + "/v1/stats") as reply:
            assert reply.headers["WWW-Authenticate"] == "Bearer"
        async with session.get(host.url + "/health") as reply:
            assert await reply.json() == {"status": "ok"}


async def test_the_command_line_has_its_own_token(tmp_path: Path) -> None:
    """The host's own user needs no key for `status`, `restart`, `drain`: the data directory has
    one for them."""
    shown = KeyFile(tmp_path / "data").add("anna", [Role.CHAT])[1]
    async with running_host(write_root(tmp_path)) as host:
        with announced(tmp_path / "data", host.url):
            code, out, err = await result(await llamachat("status", "--root", str(tmp_path)))
            assert code == 0 and "Puppet" in out, err
        code, _, err = await result(await llamachat("status", "--url", host.url))
        assert code == 1 and "a key of this host, got none" in err
        command = await llamachat("status", "--url", host.url, LLAMACHAT_KEY=shown)
        assert (await result(command))[0] == 0


async def test_a_host_of_its_own_for_one_question_lets_its_user_in(tmp_path: Path) -> None:
    root = write_root(tmp_path)
    file = root / "modules" / "Puppet" / "modulesettings.json"
    file.write_text(file.read_text().replace("text/tell", "text/chat"))
    KeyFile(root / "data").add("anna", [Role.CHAT])
    code, _, err = await result(await llamachat("ask", "--serve", "Who?", "--root", str(root)))
    assert code == 1 and "module Puppet was not started" in err, err


def test_the_own_token_goes_to_the_own_host_alone(tmp_path: Path) -> None:
    secret = open_secret(tmp_path)
    assert token_for("http://127.0.0.1:5", tmp_path) is None, "no host says that it is there"
    with announced(tmp_path, "http://127.0.0.1:5"):
        assert token_for("http://127.0.0.1:5", tmp_path) == own_token(secret)
        assert token_for("http://127.0.0.1:6", tmp_path) is None
        assert token_for("http://elsewhere.test", tmp_path) is None


@pytest.mark.parametrize(
    ("host", "is_reached"),
    [
        ("127.0.0.1", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),
        ("::", True),
        ("192.0.2.1", True),
        ("a-name", True),
    ],
)
def test_whether_others_reach_it(host: str, is_reached: bool) -> None:
    assert is_reached_by_others(host) is is_reached


async def test_beyond_loopback_it_starts_with_keys_alone(tmp_path: Path) -> None:
    settings = load_settings(write_root(tmp_path, Host="0.0.0.0"))
    refused = Host(settings)
    with pytest.raises(OpenToStrangers) as error:
        await refused.start()
    await refused.stop()
    assert "`llamachat keys add NAME`" in str(error.value) and "--insecure" in str(error.value)
    keys = KeyFile(tmp_path / "data")
    shown = keys.add("anna", [Role.CHAT])[1]
    host = Host(settings)
    await host.start()
    try:
        async with aiohttp.ClientSession() as session:
            client = Caller(session, host.url)
            assert (await client.call("GET", "/v1/stats"))[0] == 401
            key = {"Authorization": f"Bearer {shown}"}
            assert (await client.call("GET", "/v1/stats", headers=key))[0] == 200
            keys.path.unlink()  # this host was reached by others when it started, and still is
            assert (await client.call("GET", "/v1/stats", headers=key))[0] == 401
            assert (await client.call("GET", "/v1/stats"))[0] == 401
    finally:
        await host.stop()


async def test_insecure_says_what_it_means(tmp_path: Path) -> None:
    root = write_root(tmp_path, Host="0.0.0.0", Insecure=True)
    async with running_host(root) as host, aiohttp.ClientSession() as session:
        assert (await Caller(session, host.url).call("GET", "/v1/stats"))[0] == 200
        said = [entry.entry for entry in host.log.list(0, 100)]
        assert any("everybody who reaches" in entry and "chat" in entry for entry in said), said
    closed = write_root(tmp_path / "closed")
    command = await llamachat("serve", "--root", str(closed), "--host", "0.0.0.0", "--port", "0")
    code, _, err = await result(command)
    assert code == 1 and "llamachat: Server.Host: 0.0.0.0 lets other machines in" in err, err
