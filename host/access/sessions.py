"""The sessions of browsers: a signed cookie that only the host can make, and no script can read.

Invariant: what a session may do is looked up with every request: one that was made with a key has
what the key has, as long as that stands.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from host.access.addresses import is_foreign
from host.access.ended import EndedSessions

KEEP_S = 30 * 24 * 3600.0
_ID_BYTES = 16
_REMEMBERED = 500  # cookies, of 8 KB at most


@dataclass(frozen=True)
class Session:
    """One browser's. `key_id` is that of the key it was made with."""

    id: str
    key_id: str | None
    ends_at: float


class Sessions:
    """Makes and reads cookies, signed with the key. Their name is of that key: browsers send the
    cookies of one port to every other of the same machine."""

    def __init__(
        self, key: str, ended: EndedSessions, clock: Callable[[], float] = time.time
    ) -> None:
        self._ended = ended
        self.sign_with(key)
        self._clock = clock

    def sign_with(self, key: str) -> None:
        """From now on; what was signed with another key is worth nothing."""
        self._key = key.encode()
        self.cookie = f"llamachat_{hashlib.sha256(self._key).hexdigest()[:8]}"
        self._known: dict[str, Session] = {}

    def make(self, key_id: str | None) -> str:
        """A new session: its cookie's value."""
        session_id, ends_at = secrets.token_hex(_ID_BYTES), int(self._clock() + KEEP_S)
        said = f"{session_id}.{key_id or ''}.{ends_at}"
        return f"{said}.{self._sign(said)}"

    def end(self, session: Session) -> None:
        """It is none any more."""
        self._ended.end(session.id, session.ends_at)

    def of(self, request: web.Request) -> Session | None:
        """The session that a page of this host's own shows; others' pages have none."""
        header = request.headers.get("Cookie")
        if header is None or is_foreign(request):
            return None
        found = self._known.get(header)
        if found is None:
            found = self._read(request.cookies.get(self.cookie, ""))
            if found is None:
                return None
            self._remember(header, found)
        is_over = found.ends_at <= self._clock() or found.id in self._ended
        return None if is_over else found

    def _remember(self, header: str, found: Session) -> None:
        """A page shows the same with every request. Only what was verified is kept."""
        if len(self._known) >= _REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[header] = found

    def _read(self, value: str) -> Session | None:
        """None for a cookie that this host has not made."""
        said, _, signature = value.rpartition(".")
        if not hmac.compare_digest(self._sign(said).encode(), _raw(signature)):
            return None
        session_id, key_id, ends_at = said.split(".")
        return Session(session_id, key_id or None, float(ends_at))

    def _sign(self, said: str) -> str:
        return hmac.digest(self._key, _raw(said), "sha256").hex()


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # a header may hold any byte
