"""Which page a request comes from: the host's own, one that the settings let in, or a foreign one.

Invariant: a page that is let in is no local user. It gets answers that it may read, and never with
cookies; what asks for trust, it must ask for with a key.

A browser names the page in `Origin` with every POST and DELETE, and with whatever a script wants to
read. A plain GET (an image, a link) has `Sec-Fetch-Site` instead, but over plain HTTP only where
the host is named localhost or by a loopback address: elsewhere a foreign page can hide. So a GET
that changes something is not for browsers at all.
See https://developer.mozilla.org/docs/Glossary/Fetch_metadata_request_header
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from aiohttp.typedefs import Middleware

from host.access.addresses import is_foreign
from host.web.errors import Handler, RequestRefused

PAGE_PATHS = frozenset({"/", "/favicon.ico"})

_REFERER = re.compile(r"[a-z][a-z0-9+.-]*://([^\s/?#@\\]+)(?:[/?#].*)?", re.DOTALL)
_BROWSER_SIGNS = ("Origin", "Referer", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest")
_OWN_SITES = frozenset({"none", "same-origin"})
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Last-Event-ID",
    "Access-Control-Max-Age": "600",
}
_EXPOSED = "Retry-After, WWW-Authenticate"


def refuse_browsers(handler: Handler) -> Handler:
    """For a GET that changes something, as modules poll: no browser has any business there."""

    async def checked(request: web.Request) -> web.StreamResponse:
        signs = [sign for sign in _BROWSER_SIGNS if sign in request.headers]
        if signs or is_browser(request):
            sign = signs[0] if signs else "User-Agent"
            got = request.headers[sign][:80]
            raise RequestRefused(
                403, f"{sign}: expected none: {request.path} is for modules, got {got!r}"
            )
        return await handler(request)

    return checked


def refuse_hidden_page(request: web.Request) -> None:
    """Raise RequestRefused for a GET that starts something and comes from a browser that does not
    say which page wants it."""
    said = ("Origin", "Sec-Fetch-Site", "Authorization")
    if request.method != "GET" or any(name in request.headers for name in said):
        return
    if is_browser(request):
        raise RequestRefused(
            403,
            f"Sec-Fetch-Site: expected same-origin, got none: over plain HTTP a browser does not "
            f"say which page wants GET {request.path}; use https, or http://127.0.0.1",
        )


def is_browser(request: web.Request) -> bool:
    """Whether it says that it is one: a page cannot change that, and other programs need not."""
    return request.headers.get("User-Agent", "").startswith("Mozilla/")


class Origins:
    """The origins in `Server.AllowedOrigins`, and what a browser is told of them."""

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = frozenset(allowed)

    def check(self, request: web.Request) -> None:
        """Raise RequestRefused (403) for a page that is neither this host's nor let in."""
        origin = request.headers.get("Origin")
        if origin is None:
            _refuse_foreign_site(request)
        elif is_foreign(request) and not self._lets_in(request):
            raise RequestRefused(
                403,
                f"Origin: expected this host's own pages, got {origin[:200]!r}; to let a page of "
                "yours in, name its origin in Server.AllowedOrigins in modulesettings.json",
            )

    def _lets_in(self, request: web.Request) -> bool:
        return request.headers.get("Origin", "") in self._allowed

    def add_to(self, app: web.Application) -> None:
        """Where no page is let in nothing is told, and no request pays for it."""
        if self._allowed:
            app.middlewares.append(self._middleware())
            app.on_response_prepare.append(self._marker())

    def _middleware(self) -> Middleware:
        """Answers a browser's question before a request that a script makes (a preflight)."""

        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            asks = (
                request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
            )
            if asks and self._lets_in(request):
                return web.Response(status=204, headers=_PREFLIGHT)
            return await handler(request)

        return answer

    def _marker(self) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
        """For `on_response_prepare`: lets the pages that are let in read the answer."""

        async def mark(request: web.Request, response: web.StreamResponse) -> None:
            response.headers["Vary"] = "Origin"
            if self._lets_in(request):
                response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
                response.headers["Access-Control-Expose-Headers"] = _EXPOSED

        return mark


def _refuse_foreign_site(request: web.Request) -> None:
    """What shows an image, a link or a frame of another site: `Sec-Fetch-Site`, else `Referer`."""
    site, referer = request.headers.get("Sec-Fetch-Site"), request.headers.get("Referer")
    if (site is None and referer is None) or request.path in PAGE_PATHS:
        return
    if site is not None and site not in _OWN_SITES:
        raise RequestRefused(403, f"Sec-Fetch-Site: expected same-origin, got {site[:80]!r}")
    if site is None and referer and _authority(referer) != request.host.lower():
        raise RequestRefused(
            403, f"Referer: expected a page of this host, or none, got {referer[:200]!r}"
        )


def _authority(url: str) -> str | None:
    found = _REFERER.fullmatch(url.lower())
    return found[1] if found else None
