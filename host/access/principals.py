"""Finds out who asks.

Invariants: what somebody shows counts for more than where they come from, and once there are keys
nothing else counts. Where there are keys, or a token for modules, being on this machine is no
reason to be let in as a module or an operator: a proxy on it speaks for anybody.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from functools import lru_cache

from aiohttp import web

from host.access.addresses import Addresses, client_at, is_forwarded, is_local, is_loopback
from host.access.keys import Key, KeyFile
from host.access.principal import EVERYTHING, Principal, Role
from host.access.secret import module_token, own_token
from host.access.sessions import Session, Sessions

LOCAL, MODULE, STRANGER = "local", "module", "stranger"

_BEARER = "bearer "
_CHAT, _MODULE = frozenset({Role.CHAT}), frozenset({Role.MODULE})
_OPERATOR = frozenset({Role.OPERATOR})
_NOBODY = frozenset[Role]()


class Principals:
    """`token` is `Server.ModuleToken`, `secret` that of the data directory. A host that
    `needs_keys` lets nobody in without one, also where none was made."""

    def __init__(
        self,
        addresses: Addresses,
        keys: KeyFile,
        sessions: Sessions,
        secret: bytes,
        token: str | None = None,
        *,
        needs_keys: bool = False,
    ) -> None:
        self.keys = keys
        self.sessions = sessions
        self._addresses = addresses
        self._needs_keys = needs_keys
        self._own_token = _raw(own_token(secret))
        self._launched_token = _raw(module_token(secret))
        self._token = _raw(token) if token else None
        self._of_address = lru_cache(maxsize=1024)(self._known_by_address)

    @property
    def is_closed(self) -> bool:
        """Whether nobody is let in who shows nothing."""
        return self._needs_keys or self.keys.is_there

    @property
    def has_module_token(self) -> bool:
        """Whether modules and operators have `Server.ModuleToken` to show."""
        return self._token is not None

    def of(self, request: web.Request) -> Principal:
        """Whoever asks; with no role at all where nobody of them is let in."""
        if not self.is_closed and _says_nothing(request.headers):
            return self._of_address(request.remote or "")
        shown = bearer(request)
        client = self._addresses.client(request)
        if shown is not None or "Cookie" in request.headers:
            self.keys.look()
        if shown is not None and (known := self._by_token(shown, client)) is not None:
            return known
        session = self.sessions.of(request)
        if not self.is_closed:
            return self._without_keys(request, session, client)
        key = self._key(shown, session)
        return holder(key) if key else Principal(STRANGER, client, _NOBODY)

    def by_process(self, request: web.Request) -> Principal:
        """A module that is known by its process (host.access.processes)."""
        return Principal(MODULE, self._addresses.client(request), _MODULE)

    def _known_by_address(self, address: str) -> Principal:
        return self._unkeyed(client_at(address), is_loopback(address))

    def _unkeyed(self, client: str, is_here: bool) -> Principal:
        """Everybody may chat; who is on this machine may do everything, unless there is a token for
        that."""
        is_trusted = is_here and self._token is None
        roles = EVERYTHING if is_trusted else _CHAT
        return Principal(LOCAL if is_here else client, client, roles, is_trusted)

    def _key(self, shown: str | None, session: Session | None) -> Key | None:
        """A key that is shown counts, and no cookie beside it."""
        if shown is not None:
            return self.keys.find(shown)
        return self.keys.by_id(session.key_id) if session and session.key_id else None

    def _by_token(self, shown: str, client: str) -> Principal | None:
        raw = _raw(shown)
        chat = _NOBODY if self.is_closed else _CHAT
        if hmac.compare_digest(raw, self._own_token):
            return Principal(LOCAL, client, EVERYTHING, sees_all=True)
        if hmac.compare_digest(raw, self._launched_token):
            return Principal(MODULE, client, _MODULE | chat)
        if self._token is not None and hmac.compare_digest(raw, self._token):
            return Principal(MODULE, client, _MODULE | _OPERATOR | chat)
        return None

    def _without_keys(
        self, request: web.Request, session: Session | None, client: str
    ) -> Principal:
        known = self._unkeyed(client, is_local(request))
        if session is None:
            return known
        return Principal(f"session:{session.id}", client, known.roles)


def _says_nothing(headers: Mapping[str, str]) -> bool:
    """Whether an address is all there is to know somebody by: most requests are from such."""
    is_shown = "Authorization" in headers or "Cookie" in headers or "Origin" in headers
    return not (is_shown or is_forwarded(headers))


def bearer(request: web.Request) -> str | None:
    """What the request shows as `Authorization: Bearer ...`."""
    header = request.headers.get("Authorization")
    if header is None or not header.lower().startswith(_BEARER):
        return None
    return header[len(_BEARER) :].strip()


def holder(key: Key) -> Principal:
    """Whoever shows the key."""
    name = f"key:{key.id}"
    is_operator = Role.OPERATOR in key.roles
    roles = key.roles | _CHAT if is_operator else key.roles
    return Principal(name, name, roles, is_operator, key.id)


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # a header may hold any byte
