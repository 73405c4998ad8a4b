"""A command, for those who may see it.

Invariant: here alone a room looks for a command by an id that somebody sent. What is another's is
answered as what never was.
"""

from __future__ import annotations

from aiohttp import web

from host.access.principal import principal_of
from host.commands import Command, UnknownCommand
from host.work.follow import Follow


async def find_own(follow: Follow, request: web.Request, command_id: str) -> Command:
    """The command as it stands. Raises UnknownCommand."""
    command = await follow.find(command_id)
    if not principal_of(request).sees(command):
        raise UnknownCommand(command_id[:80])
    return command
