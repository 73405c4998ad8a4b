"""Who may ask: the host's own name in `Host`, and no page from elsewhere, on every path.

A page on another site can make a browser send requests here: what gives it away is in
host/web/origins.py. A name that was rebound to this address shows in `Host`.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from aiohttp import web

from host.web.errors import RequestRefused
from host.web.origins import Origins

# Anything else, such as `127.0.0.1#.elsewhere`, is one host to one reader and another to the next.
_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{1,5})?", re.ASCII)


def host_name(authority: str) -> str:
    """The host part of `name:port` or `[::1]:port`, in lower case; empty when malformed."""
    found = _AUTHORITY.fullmatch(authority.lower())
    return (found[1] or found[2]).removesuffix(".") if found else ""


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_own_address(request: web.Request) -> bool:
    """An address cannot be rebound; it is ours when the connection came in on it."""
    address = _address(host_name(request.host))
    local = request.transport.get_extra_info("sockname") if request.transport else None
    if address is None or not isinstance(local, tuple):
        return False
    return address == _address(str(local[0]).split("%")[0])


def guard(allowed_hosts: Iterable[str], origins: Origins) -> Callable[[web.Request], None]:
    """The check of every request before any handler sees it. It raises RequestRefused."""
    names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in allowed_hosts)}

    @lru_cache(maxsize=256)  # the same few names come with every request
    def is_own_name(authority: str) -> bool:
        name = host_name(authority)
        address = _address(name)
        return name in names or (address is not None and address.is_loopback)

    def check(request: web.Request) -> None:
        if not is_own_name(request.host) and not _is_own_address(request):
            raise RequestRefused(
                403,
                f"Host: expected a name of this host, got {request.host[:200]!r}; "
                "add it to Server.AllowedHosts in modulesettings.json if it is one",
            )
        origins.check(request)

    return check
