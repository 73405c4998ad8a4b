"""Who may ask: the host's own name in `Host`, and no page from elsewhere, on every path.

A page on another site can make a browser send requests here. What gives it away is the `Origin`
header, or `Sec-Fetch-Site` where no origin is sent (images, scripts); a name that was rebound to
this address shows in `Host`. See https://developer.mozilla.org/docs/Glossary/Fetch_metadata_request_header
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

from aiohttp import web

from host.web.errors import RequestRefused

PAGE_PATHS = frozenset({"/", "/favicon.ico"})


def host_name(authority: str) -> str:
    """The host part of `name:port` or `[::1]:port`, in lower case; empty when malformed."""
    try:
        return (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    except ValueError:
        return ""


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


def _refuse_foreign_page(request: web.Request) -> None:
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        raise RequestRefused(403, f"Origin: expected this host's own pages, got {origin!r}")
    site = request.headers.get("Sec-Fetch-Site")
    if site is None or site in {"none", "same-origin"}:
        return
    if request.path not in PAGE_PATHS:
        raise RequestRefused(403, f"Sec-Fetch-Site: expected same-origin, got {site!r}")


def guard(allowed_hosts: Iterable[str]) -> Callable[[web.Request], None]:
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
                f"Host: expected a name of this host, got {request.host!r}; "
                "add it to Server.AllowedHosts in modulesettings.json if it is one",
            )
        _refuse_foreign_page(request)

    return check
