"""Who a request comes from, as far as the host can tell: for fair turns, and for modules' doors.

Invariant: a client is known by what it cannot make up: by no key that nobody has verified, and by
no header that anybody can write, unless a proxy named in `Server.TrustedProxies` has written it.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from aiohttp import web

from host.web.errors import Handler, RequestRefused
from host.web.origins import is_foreign

_FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-IP")
_BEARER = "bearer "


class Clients:
    """Tells clients apart, by their addresses."""

    def __init__(self, trusted_proxies: Iterable[str] = ()) -> None:
        self._trusted = tuple(ipaddress.ip_network(one) for one in trusted_proxies)

    def identify(self, request: web.Request) -> str:
        """A short name of the client, the same for all of its requests, on every host."""
        return f"ip:{_network(self.address(request))}"

    def network_of(self, address: str) -> str | None:
        """Whom a connection from there counts for; None for a proxy, which has those of many."""
        return None if self._is_trusted(address) else _network(address)

    def address(self, request: web.Request) -> str:
        """The client's address: of the hops that were forwarded, the last that is no proxy."""
        address = request.remote or ""
        if not self._trusted:
            return address
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", ()))
        hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
        while hops and self._is_trusted(address):
            address = _bare_address(hops.pop())
        return address

    def _is_trusted(self, address: str) -> bool:
        try:
            own = ipaddress.ip_address(address.split("%")[0])
        except ValueError:
            return False
        return any(own in network for network in self._trusted)


class Access:
    """Lets modules and operators in: from this machine, or with `Server.ModuleToken`."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def guards(self, handler: Handler) -> Handler:
        """The handler, for those who are let in."""

        async def checked(request: web.Request) -> web.StreamResponse:
            self.check(request)
            return await handler(request)

        return checked

    def check(self, request: web.Request) -> None:
        """Raise RequestRefused: 401 without the token, 403 where no token is configured."""
        if is_local(request):
            return
        if self._token is None:
            raise RequestRefused(
                403,
                f"{request.path}: expected a request from this machine, got one from elsewhere; "
                "to let modules elsewhere in, set Server.ModuleToken in modulesettings.json",
            )
        shown = bearer_key(request) or ""
        if not hmac.compare_digest(_raw(shown), _raw(self._token)):
            got = "another token" if shown else "no token"
            raise RequestRefused(
                401,
                f"Authorization: expected 'Bearer' and this host's Server.ModuleToken, got {got}",
                WWW_Authenticate="Bearer",
            )


def bearer_key(request: web.Request) -> str | None:
    """What the request shows as `Authorization: Bearer ...`."""
    header = request.headers.get("Authorization", "")
    return header[len(_BEARER) :].strip() if header.lower().startswith(_BEARER) else None


def is_local(request: web.Request) -> bool:
    """Whether a process of this machine asks for itself: a proxy's requests are not local, nor are
    those of another site's page that `Server.AllowedOrigins` lets in."""
    if is_foreign(request) or any(name in request.headers for name in _FORWARDED):
        return False
    return _is_loopback(request.remote or "")


@lru_cache(maxsize=1024)
def _is_loopback(address: str) -> bool:
    try:
        own = ipaddress.ip_address(address.split("%")[0])
    except ValueError:
        return False
    mapped = getattr(own, "ipv4_mapped", None)
    return (mapped or own).is_loopback


def _bare_address(hop: str) -> str:
    """A hop without its port: `1.2.3.4:5` and `[::1]:5` are written by some proxies."""
    if hop.startswith("["):
        return hop[1:].split("]")[0]
    return hop.split(":")[0] if hop.count(":") == 1 else hop


@lru_cache(maxsize=1024)
def _network(address: str) -> str:
    """Of IPv6 the first 64 bits: whoever has one address of them has them all."""
    try:
        own = ipaddress.IPv6Address(address.split("%")[0])
    except ValueError:
        return address
    if own.ipv4_mapped is not None:
        return str(own.ipv4_mapped)
    return str(ipaddress.ip_network((own, 64), strict=False))


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # a header may hold any byte
