"""Modules that know no token, let in by their process.

Invariant: a connection is a module's when the system says that its other end belongs to a process
that this host launched, or to a child of that. What a proxy passes on is the proxy's.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Iterable, Iterator
from weakref import WeakKeyDictionary

import psutil
from aiohttp import web

from host.access.addresses import is_local


class TrustedProcesses:
    """`launched()` are the processes of the modules that are let in so."""

    def __init__(self, launched: Callable[[], Iterable[int]]) -> None:
        self._launched = launched
        self._known: WeakKeyDictionary[asyncio.Transport, bool] = WeakKeyDictionary()

    async def have(self, request: web.Request) -> bool:
        """Whether one of them sends the request. Each connection is looked at once."""
        transport = request.transport
        if transport is None or not is_local(request):
            return False
        known = self._known.get(transport)
        if known is None:
            ends = [_end(transport.get_extra_info(name)) for name in ("peername", "sockname")]
            known = await asyncio.to_thread(_is_held, list(self._launched()), *ends)
            self._known[transport] = known
        return known


_End = tuple[str, int]


def _end(name: tuple[str, int]) -> _End:
    """Address and port; an IPv4 address is one in either notation."""
    address = ipaddress.ip_address(name[0].split("%")[0])
    return str(getattr(address, "ipv4_mapped", None) or address), name[1]


def _is_held(pids: list[int], theirs: _End, ours: _End) -> bool:
    return any((theirs, ours) in _connections(one) for pid in pids for one in _family(pid))


def _family(pid: int) -> Iterator[psutil.Process]:
    try:
        process = psutil.Process(pid)
        yield process
        yield from process.children(recursive=True)
    except psutil.Error:  # it has ended
        return


def _connections(process: psutil.Process) -> set[tuple[_End, _End]]:
    try:
        found = process.net_connections("tcp")
    except psutil.Error:
        return set()
    return {(_end(one.laddr), _end(one.raddr)) for one in found if one.laddr and one.raddr}
