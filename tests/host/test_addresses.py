"""Where a request comes from: addresses, proxies, this machine."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from host.access.addresses import Addresses, is_local


def request_from(address: str, **headers: str) -> web.Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request("GET", "/v1/queue/q", headers=named).clone(remote=address)


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
    names = [Addresses().client(request_from(address)) for address in (one, other)]
    assert (names[0] == names[1]) is are_same


def test_a_client_is_its_address() -> None:
    assert Addresses().client(request_from("1.2.3.4")) == "ip:1.2.3.4"


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
    addresses = Addresses(["10.0.0.0/8"])
    assert addresses.address(request_from(remote, X_Forwarded_For=forwarded)) == address


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine(address: str) -> None:
    assert is_local(request_from(address))


@pytest.mark.parametrize(
    "request_",
    [
        request_from("1.2.3.4"),
        request_from(""),
        request_from("127.0.0.1", X_Forwarded_For="127.0.0.1"),  # a proxy's
        request_from("127.0.0.1", Forwarded="for=1.2.3.4"),
        request_from("127.0.0.1", X_Real_IP="127.0.0.1"),
        request_from("127.0.0.1", Origin="http://elsewhere.test"),
    ],
)
def test_what_is_not_this_machine(request_: web.Request) -> None:
    assert not is_local(request_)


@pytest.mark.parametrize(
    ("remote", "said", "is_https"),
    [("10.0.0.1", "https", True), ("10.0.0.1", "http", False), ("9.9.9.9", "https", False)],
)
def test_https_as_far_as_a_trusted_proxy(remote: str, said: str, is_https: bool) -> None:
    request = request_from(remote, X_Forwarded_Proto=said)
    assert Addresses(["10.0.0.0/8"]).is_https(request) is is_https
