"""Where a request comes from: which address, this machine or not, a page of another site or not.

Invariant: nobody's word is taken for an address, but that of a proxy named in
`Server.TrustedProxies`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from aiohttp import web

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([^\s/?#@\\]+)")


class Addresses:
    """Tells clients apart, by their addresses."""

    def __init__(self, trusted_proxies: Iterable[str] = ()) -> None:
        self._trusted = tuple(ipaddress.ip_network(one) for one in trusted_proxies)

    def client(self, request: web.Request) -> str:
        """A short name of the client, the same for all of its requests, on every host."""
        return client_at(self.address(request))

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

    def is_https(self, request: web.Request) -> bool:
        """Whether the browser speaks to us, or to a proxy of ours, in a way nobody overhears."""
        said = request.headers.get("X-Forwarded-Proto", "")
        is_said = said.lower() == "https" and self._is_trusted(request.remote or "")
        return request.secure or is_said

    def _is_trusted(self, address: str) -> bool:
        try:
            own = ipaddress.ip_address(address.split("%")[0])
        except ValueError:
            return False
        return any(own in network for network in self._trusted)


def is_foreign(request: web.Request) -> bool:
    """Whether a page that is not one of this host's sends the request, let in or not."""
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    found = _ORIGIN.fullmatch(origin.lower())
    return found is None or found[1] != request.host.lower()


def is_local(request: web.Request) -> bool:
    """Whether a process of this machine asks for itself: a proxy's requests are not local, nor are
    those of another site's page that `Server.AllowedOrigins` lets in."""
    is_here = not is_forwarded(request.headers) and is_loopback(request.remote or "")
    return is_here and not is_foreign(request)


def is_forwarded(headers: Mapping[str, str]) -> bool:
    """Whether a proxy says that it speaks for another. Asked each time, so it is spelt out."""
    return "X-Forwarded-For" in headers or "Forwarded" in headers or "X-Real-IP" in headers


@lru_cache(maxsize=1024)
def is_loopback(address: str) -> bool:
    """Whether an address is of this machine alone."""
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
def client_at(address: str) -> str:
    """The name of whoever asks from there."""
    return f"ip:{_network(address)}"


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
