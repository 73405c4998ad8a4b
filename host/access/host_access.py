"""Who may come to one host: its keys, its secret, the sessions of its browsers.

Invariant: nothing here is known before `open`; a host that is closed to strangers is so from its
first request on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from host.access.addresses import Addresses
from host.access.ended import EndedSessions
from host.access.keys import KeyFile
from host.access.opening import check_open, is_reached_by_others, warning_of
from host.access.principals import Principals
from host.access.secret import module_token, open_secret, own_token, session_key
from host.access.sessions import Sessions
from host.settings import Settings
from host.settings.places import data_dir
from host.store.protocol import StoreUnavailable

PAUSE_S = 1.0  # before the store is asked again for what hosts share


class HostAccess:
    """By the settings of a host, and what lies in its data directory."""

    def __init__(self, settings: Settings) -> None:
        self._server = settings.server
        self.trusting = [one.id for one in settings.modules if one.launch.trust_process]
        """Modules that are known by their process."""
        self.addresses = Addresses(settings.server.trusted_proxies)
        self.keys = KeyFile(data_dir(settings.server))
        self._secret: bytes
        self._sessions: Sessions

    def check(self) -> None:
        """Raise OpenToStrangers for a host that anybody could use, and is not told to be one."""
        self.keys.look()
        check_open(self._server, self.keys)

    async def open(self) -> None:
        """Read the secret and which sessions have ended; make the secret where there is none."""
        folder = data_dir(self._server)
        self._secret = await asyncio.to_thread(open_secret, folder)
        ended = EndedSessions(folder)
        await asyncio.to_thread(ended.load)
        self._sessions = Sessions(session_key(self._secret), ended)

    async def share_sessions(self, shared: Callable[[str, str], Awaitable[str]]) -> None:
        """Browsers' next requests may come to other hosts: all sign with the key that
        `shared(name, own)` returns. As soon as the store is there."""
        while True:
            with suppress(StoreUnavailable):
                return self._sessions.sign_with(await shared("sessions", session_key(self._secret)))
            await asyncio.sleep(PAUSE_S)

    @property
    def warning(self) -> str | None:
        """What is to be said of a host that was opened to strangers; None where nothing is."""
        return warning_of(self._server, self.keys)

    @property
    def own_token(self) -> str:
        """What this host's own user shows, where it has keys."""
        return own_token(self._secret)

    @property
    def module_token(self) -> str:
        """What modules show that this host launches."""
        return module_token(self._secret)

    def principals(self) -> Principals:
        """Finds out who asks."""
        server = self._server
        return Principals(
            self.addresses,
            self.keys,
            self._sessions,
            self._secret,
            server.module_token,
            needs_keys=is_reached_by_others(server.host) and not server.insecure,
        )
