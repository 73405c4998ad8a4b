"""What operators ask about load, and the one thing they may tell a host: to drain."""

from __future__ import annotations

from aiohttp import web

from host.web.identity import Door
from host.web.replies import json_reply
from host.work.draining import Draining
from host.work.stats import HostStats


def add_stats_routes(
    app: web.Application, stats: HostStats, draining: Draining, door: Door
) -> None:
    """Anybody who reaches the host may read; writing is for those whom `door` lets in."""

    async def read(request: web.Request) -> web.StreamResponse:
        return json_reply(request, await stats.body())

    async def drain(request: web.Request) -> web.StreamResponse:
        draining.begin()
        body = {
            "success": True,
            "draining": True,
            "running": await draining.running(),
            "message": "Nothing is begun any more; the host ends when nothing runs",
        }
        return json_reply(request, body)

    app.router.add_get("/v1/stats", read)
    app.router.add_post("/v1/server/drain", door.guards(drain))
