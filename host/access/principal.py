"""Who a request comes from, and what they may do.

Invariant: whoever does not see a command cannot tell it from one that never was.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from aiohttp import web

from host.commands import Command


class Role(str, Enum):
    """What somebody may do."""

    CHAT = "chat"  # start commands, and read and stop their own
    OPERATOR = "operator"  # read the log, restart modules, drain; read and stop all commands
    MODULE = "module"  # take work, report, answer


EVERYTHING = frozenset(Role)


@dataclass(frozen=True)
class Principal:
    """Somebody. `name` owns the commands that they start; `client` is who they are for fair turns
    and shares: sessions are for the asking, so those without a key count for their address."""

    name: str
    client: str
    roles: frozenset[Role]
    sees_all: bool = False
    key_id: str | None = None  # of a key that may be revoked while they are here

    def sees(self, command: Command) -> bool:
        """Whether the command is theirs, or everybody's are."""
        return self.sees_all or (command.owner or command.client) == self.name


PRINCIPAL = web.RequestKey("principal", Principal)


def principal_of(request: web.Request) -> Principal:
    """Who was found to ask, when the request came."""
    return request[PRINCIPAL]
