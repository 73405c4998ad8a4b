"""Who asks: keys, sessions, tokens, and this machine where there are none of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from test_addresses import request_from

from host.access.addresses import Addresses
from host.access.ended import EndedSessions
from host.access.keys import KeyFile
from host.access.principal import EVERYTHING, Principal, Role
from host.access.principals import Principals
from host.access.secret import module_token, open_secret, own_token, session_key
from host.access.sessions import KEEP_S, Sessions
from host.commands import Command

TOKEN = "a long secret"
CHAT, MODULE, OPERATOR = frozenset({Role.CHAT}), frozenset({Role.MODULE}), {Role.OPERATOR}


class World:
    """The principals of a data directory; `keys` is what `llamachat keys` has of it."""

    def __init__(self, folder: Path, token: str | None = None, *, needs_keys: bool = False) -> None:
        self.keys, self.secret = KeyFile(folder), open_secret(folder)
        seen = KeyFile(folder)
        seen.look()
        addresses = Addresses(["10.0.0.0/8"])
        sessions = Sessions(session_key(self.secret), EndedSessions(folder))
        self.all = Principals(addresses, seen, sessions, self.secret, token, needs_keys=needs_keys)

    def add(self, name: str, *roles: Role) -> str:
        return self.keys.add(name, roles or [Role.CHAT])[1]

    def of(self, address: str, **headers: str) -> Principal:
        return self.all.of(request_from(address, **headers))

    def by(self, shown: str, address: str = "1.2.3.4") -> Principal:
        return self.of(address, Authorization=f"Bearer {shown}")

    def browser(self, key_id: str | None = None, **headers: str) -> Principal:
        return self.shows(self.all.sessions.make(key_id), **headers)

    def shows(self, cookie: str, **headers: str) -> Principal:
        return self.of("127.0.0.1", Cookie=f"{self.all.sessions.cookie}={cookie}", **headers)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_without_keys_this_machine_may_do_everything_and_others_chat(world: World) -> None:
    local = world.of("127.0.0.1")
    assert (local.name, local.roles, local.sees_all) == ("local", EVERYTHING, True)
    other = world.of("1.2.3.4")
    assert (other.name, other.client, other.roles) == ("ip:1.2.3.4", "ip:1.2.3.4", CHAT)
    through_a_proxy = world.of("127.0.0.1", X_Forwarded_For="1.2.3.4")
    assert through_a_proxy.roles == CHAT and through_a_proxy.name != local.name


def test_keys_that_anybody_can_make_up_are_one_client(world: World) -> None:
    one, two = world.by("sk-one"), world.by("lc_two")
    assert one == two == world.of("1.2.3.4") != world.by("sk-one", "5.6.7.8")


def test_with_keys_nobody_is_let_in_without_one(world: World) -> None:
    shown = world.add("anna")
    anna = world.by(shown)
    assert anna.name.startswith("key:") and anna.client == anna.name and anna.roles == CHAT
    assert not anna.sees_all
    for stranger in (world.of("127.0.0.1"), world.by("lc_made-up"), world.by(shown[:-1])):
        assert not stranger.roles


def test_an_operator_sees_all_and_chats(world: World) -> None:
    operator = world.by(world.add("op", Role.OPERATOR))
    assert operator.sees_all and operator.roles == CHAT | OPERATOR


def test_a_revoked_key_lets_nobody_in_and_the_host_stays_closed(world: World) -> None:
    shown = world.add("anna")
    assert world.by(shown).roles
    world.keys.revoke("anna")
    assert not world.by(shown).roles and not world.of("127.0.0.1").roles


def test_a_file_of_keys_that_cannot_be_read_lets_nobody_in(world: World) -> None:
    shown = world.add("anna")
    world.keys.path.write_text("{")
    assert not world.by(shown).roles and not world.of("127.0.0.1").roles


def test_a_host_that_needs_keys_is_closed_before_there_are_any(tmp_path: Path) -> None:
    assert not World(tmp_path, needs_keys=True).of("127.0.0.1").roles


def test_browsers_are_apart_and_one_client(world: World) -> None:
    """Cookies are for the asking: they make no more clients than there are addresses."""
    one, two = world.browser(), world.browser()
    assert one.name != two.name and one.client == two.client == "ip:127.0.0.1"
    assert one.roles == EVERYTHING and not one.sees_all
    command = Command("id", "M", "q", "n", True, client=one.client, owner=one.name)
    assert one.sees(command) and not two.sees(command)


def test_with_keys_a_session_is_its_keys(world: World) -> None:
    key, shown = world.keys.add("anna", [Role.CHAT])
    world.by(shown)
    assert world.browser(key.id) == world.by(shown)
    assert not world.browser().roles
    world.keys.revoke("anna")
    assert not world.browser(key.id).roles


def test_a_page_of_another_site_has_no_session(world: World) -> None:
    key, _ = world.keys.add("anna", [Role.CHAT])
    assert world.browser(key.id, Host="a.test", Origin="http://a.test").roles == CHAT
    assert not world.browser(key.id, Host="a.test", Origin="http://b.test").roles


@pytest.mark.parametrize("cut", [slice(0, -1), slice(1, None), slice(0, 40), slice(0, 0)])
def test_a_cookie_that_this_host_did_not_make_is_none(world: World, cut: slice) -> None:
    value = world.all.sessions.make(None)
    assert world.shows(value).name.startswith("session:")
    assert world.shows(value[cut]).name == world.shows("\xff.").name == "local"


def test_a_cookie_ends(tmp_path: Path) -> None:
    now = 1e9
    sessions = Sessions(session_key(open_secret(tmp_path)), EndedSessions(tmp_path), lambda: now)
    request = request_from("127.0.0.1", Cookie=f"{sessions.cookie}={sessions.make(None)}")
    assert sessions.of(request) is not None
    now += KEEP_S + 1
    assert sessions.of(request) is None


def test_the_own_token_is_the_local_user(world: World) -> None:
    world.add("anna")
    own = world.by(own_token(world.secret), "127.0.0.1")
    assert (own.name, own.roles, own.sees_all) == ("local", EVERYTHING, True)


def test_launched_modules_have_a_token(world: World) -> None:
    assert Role.MODULE in world.by(module_token(world.secret)).roles
    world.add("anna")
    launched = world.by(module_token(world.secret))
    assert launched.roles == MODULE and not launched.sees_all


@pytest.mark.parametrize("address", ["127.0.0.1", "1.2.3.4"])
def test_with_a_module_token_modules_and_operators_need_it_everywhere(
    tmp_path: Path, address: str
) -> None:
    world = World(tmp_path, TOKEN)
    assert world.of(address).roles == CHAT and not world.of(address).sees_all
    assert world.by("another", address).roles == CHAT
    holder = world.by(TOKEN, address)
    assert holder.roles == EVERYTHING and not holder.sees_all
    world.add("anna")
    assert world.by(TOKEN, address).roles == MODULE | OPERATOR


def test_who_asks_is_told_by_no_header_that_cannot_be_read(world: World) -> None:
    world.add("anna")
    strange: list[web.Request] = [
        request_from("1.2.3.4", Authorization="Bearer \xff"),
        request_from("1.2.3.4", Authorization="Bearer "),
        request_from("1.2.3.4", Authorization=f"Basic {TOKEN}"),
        request_from("1.2.3.4", Cookie="\xff=;;"),
    ]
    assert not any(world.all.of(one).roles for one in strange)


def test_the_secret_is_for_its_user_alone_and_stays(tmp_path: Path) -> None:
    secret = open_secret(tmp_path)
    assert open_secret(tmp_path) == secret
    for file in (tmp_path / "access").iterdir():
        assert file.stat().st_mode & 0o077 == 0
    assert (tmp_path / "access").stat().st_mode & 0o077 == 0
