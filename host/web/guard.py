"""Who may ask: the host's own name in `Host`, and no page from elsewhere, on every path.

A page on another site can make a browser send requests here. What gives it away is the `Origin`
header, or `Sec-Fetch-Site` where no origin is sent (images, scripts); a name that was rebound to
this address shows in `Host`. See https://developer.mozilla.org/docs/Glossary/Fetch_metadata_request_header
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from host.web.errors import Handler, RequestRefused
from host.web.replies import STARTED_AT

PAGE_PATHS = frozenset({"/", "/favicon.ico"})


def host_name(authority: str) -> str:
    """The host part of `name:port` or `[::1]:port`, in lower case; empty when malformed."""
    try:
        return (urlsplit(f"//{authority}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _own_address(name: str, request: web.Request) -> bool:
    """An address cannot be rebound; it is ours when the connection came in on it."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    if address.is_loopback:
        return True
    local = request.transport.get_extra_info("sockname") if request.transport else None
    return local is not None and address == ipaddress.ip_address(str(local[0]).split("%")[0])


def _refuse_foreign_page(request: web.Request) -> None:
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        raise RequestRefused(403, f"Origin: expected this host's own pages, got {origin!r}")
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site not in {"none", "same-origin"} and request.path not in PAGE_PATHS:
        raise RequestRefused(403, f"Sec-Fetch-Site: expected same-origin, got {site!r}")


def guard(allowed_hosts: Iterable[str]) -> Middleware:
    """The middleware that checks every request before any handler sees it."""
    names = {"localhost", socket.gethostname().lower(), *(name.lower() for name in allowed_hosts)}

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        request[STARTED_AT] = time.perf_counter()
        name = host_name(request.host)
        if name not in names and not _own_address(name, request):
            raise RequestRefused(
                403,
                f"Host: expected a name of this host, got {request.host!r}; "
                "add it to Server.AllowedHosts in modulesettings.json if it is one",
            )
        _refuse_foreign_page(request)
        return await handler(request)

    return check
