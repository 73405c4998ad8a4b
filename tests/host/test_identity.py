"""Who a request comes from: keys, addresses, proxies; and who is let in to modules' paths."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from host.web.errors import RequestRefused
from host.web.identity import Access, Clients

TOKEN = "a long secret"


def request_from(address: str, **headers: str) -> web.Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request("GET", "/v1/queue/q", headers=named).clone(remote=address)


def test_keys_that_anybody_can_make_up_are_one_client() -> None:
    clients = Clients()
    one = clients.identify(request_from("1.2.3.4", Authorization="Bearer sk-one"))
    two = clients.identify(request_from("1.2.3.4", Authorization="Bearer sk-two"))
    elsewhere = clients.identify(request_from("5.6.7.8", Authorization="Bearer sk-one"))
    assert one == two != elsewhere
    assert "sk-one" not in one


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),  # they have 64 bits to choose from
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:1.2.3.4", "1.2.3.4", True),
        ("::ffff:1.2.3.4", "::ffff:1.2.3.5", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
    ],
)
def test_what_one_client_has_of_addresses_is_one(one: str, other: str, are_same: bool) -> None:
    names = [Clients().identify(request_from(address)) for address in (one, other)]
    assert (names[0] == names[1]) is are_same


def test_without_a_key_it_is_the_address() -> None:
    assert Clients().identify(request_from("1.2.3.4")) == "ip:1.2.3.4"


@pytest.mark.parametrize(
    ("remote", "forwarded", "address"),
    [
        ("9.9.9.9", "1.1.1.1", "9.9.9.9"),  # anybody can write the header
        ("10.0.0.1", "1.1.1.1", "1.1.1.1"),
        ("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "1.1.1.1"),  # the first was made up, maybe
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "1.1.1.1:4711", "1.1.1.1"),
        ("10.0.0.1", "unknown", "unknown"),
    ],
)
def test_behind_a_trusted_proxy_it_is_the_last_hop_that_is_none(
    remote: str, forwarded: str, address: str
) -> None:
    clients = Clients(["10.0.0.0/8"])
    assert clients.address(request_from(remote, X_Forwarded_For=forwarded)) == address


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_modules_on_this_machine_need_no_token(address: str) -> None:
    Access(None).check(request_from(address))
    Access(TOKEN).check(request_from(address))


@pytest.mark.parametrize(
    ("token", "request_", "status"),
    [
        (None, request_from("1.2.3.4"), 403),
        (None, request_from("1.2.3.4", Authorization=f"Bearer {TOKEN}"), 403),
        (TOKEN, request_from("1.2.3.4"), 401),
        (TOKEN, request_from("1.2.3.4", Authorization="Bearer another"), 401),
        (TOKEN, request_from("1.2.3.4", Authorization="Bearer \xff"), 401),
        (TOKEN, request_from("1.2.3.4", Authorization=f"Basic {TOKEN}"), 401),
        (TOKEN, request_from("127.0.0.1", X_Forwarded_For="127.0.0.1"), 401),  # a proxy's
        (TOKEN, request_from("127.0.0.1", Forwarded="for=1.2.3.4"), 401),
        (TOKEN, request_from(""), 401),
    ],
)
def test_others_are_refused_in_plain_words(
    token: str | None, request_: web.Request, status: int
) -> None:
    with pytest.raises(RequestRefused) as refused:
        Access(token).check(request_)
    assert refused.value.status == status
    assert "Server.ModuleToken" in refused.value.error
    assert TOKEN not in refused.value.error


def test_the_token_lets_in() -> None:
    Access(TOKEN).check(request_from("1.2.3.4", Authorization=f"Bearer {TOKEN}"))
