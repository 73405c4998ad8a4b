"""Which door each path is, and who may pass it.

Invariant: a path that is not named here is for those who may chat, and on a host with keys nobody
may who shows none. What a stranger gets there is in ANYBODY, and nothing else.
"""

from __future__ import annotations

import logging

from aiohttp import web

from host.access.addresses import is_local
from host.access.open_requests import OpenRequests
from host.access.principal import PRINCIPAL, Principal, Role
from host.access.principals import Principals, bearer
from host.access.processes import TrustedProcesses
from host.web.errors import Handler, RequestRefused

_PAGE_PATHS = ("/", "/pages/{name}", "/health", "/v1/session")
ANYBODY = frozenset(
    {("POST", "/v1/session"), ("DELETE", "/v1/session")}
    | {(method, path) for method in ("GET", "HEAD") for path in _PAGE_PATHS}
)
"""The page, its files, whether the host is there, and where one signs in. By their methods: a
module may have a route of the same name."""

SOMEBODY = frozenset(
    {"/v1/status/ping", "/v1/server/status/ping", "/v1/module/list/status", "/v1/stats"}
)
"""For whoever may do anything at all."""

_MODULE_PATHS = (
    "/v1/queue/{queue}",
    "/v1/queue/updatemodulestatus/{module_id}",
    "/v1/queue/{reqid}",
    "/v1/modules/{module_id}/progress",
    "/v1/modules/{module_id}/control",
    "/v1/log",
    "/v1/log/",
)
_OPERATOR_PATHS = ("/v1/log/list", "/v1/server/drain", "/v1/modules/{module_id}/restart")

ROLES = dict.fromkeys(_MODULE_PATHS, Role.MODULE) | dict.fromkeys(_OPERATOR_PATHS, Role.OPERATOR)
"""The paths that take another role than to chat."""


_OTHER_SDKS = (
    "; a module that this host launched, and that knows no token, is let in by "
    '"TrustProcess": true in its LaunchSettings'
)

_log = logging.getLogger(__name__)


class Doors:
    """Where rooms add their routes: each stands behind the check of who may pass it.

    The check notes who asks, and raises RequestRefused for those who may not: 401 where nothing
    good was shown, 403 where it does not reach so far. It is part of the route's handler: what it
    needs is known when the route is made, and a middleware would cost every poll more. `trusted`
    are the processes whose requests for modules need no token.
    """

    def __init__(
        self,
        app: web.Application,
        principals: Principals,
        open_requests: OpenRequests,
        trusted: TrustedProcesses | None = None,
    ) -> None:
        self._app = app
        self._trusted = trusted
        self._principals = principals
        self._open_requests = open_requests
        self._behind: set[object] = set()
        self._has_warned = False

    def add_get(self, path: str, handler: Handler) -> None:
        """Also for HEAD."""
        self._app.router.add_get(path, self._guarded(path, handler))

    def add_post(self, path: str, handler: Handler) -> None:
        self.add_route("POST", path, handler)

    def add_delete(self, path: str, handler: Handler) -> None:
        self.add_route("DELETE", path, handler)

    def add_route(self, method: str, path: str, handler: Handler) -> None:
        """`*` is for every method."""
        self._app.router.add_route(method, path, self._guarded(path, handler))

    def check_all(self) -> None:
        """Raise RuntimeError for a route that stands beside them: no host begins with one."""
        for route in self._app.router.routes():
            if route.handler not in self._behind:
                raise RuntimeError(f"{route.method} {route.resource}: add it through Doors")

    def _guarded(self, path: str, handler: Handler) -> Handler:
        role, is_for_somebody = ROLES.get(path, Role.CHAT), path in SOMEBODY
        trusted = self._trusted if role is Role.MODULE else None

        async def let_in(request: web.Request) -> web.StreamResponse:
            if trusted and bearer(request) is None and await trusted.have(request):
                principal = self._principals.by_process(request)
            else:
                principal = self._principals.of(request)
            request[PRINCIPAL] = principal
            if principal.key_id is not None:
                self._open_requests.begins(principal.key_id, request)
            if role in principal.roles or (principal.roles and is_for_somebody):
                return await handler(request)
            if (request.method, path) in ANYBODY:
                return await handler(request)
            raise self._refusal(principal, role, request)

        self._behind.add(let_in)
        return let_in

    def _refusal(self, principal: Principal, role: Role, request: web.Request) -> RequestRefused:
        refusal = _refusal(self._principals, principal, role, request)
        if role is Role.MODULE and bearer(request) is None and is_local(request):
            refusal.error += _OTHER_SDKS
            if not self._has_warned:  # they ask again and again
                _log.warning("a request for modules shows no token, and is refused%s", _OTHER_SDKS)
            self._has_warned = True
        return refusal


def _refusal(
    principals: Principals, principal: Principal, role: Role, request: web.Request
) -> RequestRefused:
    if principals.is_closed:
        return _without_role(principal, role, request) if principal.roles else no_key(request)
    if not principals.has_module_token:
        return RequestRefused(
            403,
            f"{request.path}: expected a request from this machine, got one from elsewhere; "
            "to let modules elsewhere in, set Server.ModuleToken in modulesettings.json",
        )
    got = "another token" if bearer(request) else "no token"
    return RequestRefused(
        401,
        f"Authorization: expected 'Bearer' and this host's Server.ModuleToken, got {got}",
        WWW_Authenticate="Bearer",
    )


def no_key(request: web.Request) -> RequestRefused:
    """For a stranger to a host with keys."""
    got = "another one" if bearer(request) else "none"
    return RequestRefused(
        401,
        f"Authorization: expected 'Bearer' and a key of this host, got {got}; "
        "`llamachat keys add NAME` makes one, on the host's machine",
        WWW_Authenticate="Bearer",
    )


def _without_role(principal: Principal, role: Role, request: web.Request) -> RequestRefused:
    has = ", ".join(sorted(principal.roles))
    return RequestRefused(
        403,
        f"{request.path}: expected a key with the role {role.value}, got one for {has}; "
        f"`llamachat keys add NAME --role {role.value}` makes one, on the host's machine",
    )
