"""What operators ask about load, and the one thing they may tell a host: to drain."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from host.instances.instance import Instance, shown_time
from host.instances.load import LoadWatch, slots_of
from host.instances.overview import ModuleOverview
from host.instances.registry import ModuleRegistry
from host.settings import ModuleSettings, Settings
from host.store.protocol import CommandStore
from host.web.doors import Doors
from host.web.replies import iso_time, json_reply
from host.work.draining import Draining


class HostStats:
    """Counts and rates, for operators. On a shared store they are those of all hosts together."""

    def __init__(
        self,
        settings: Settings,
        store: CommandStore,
        registry: ModuleRegistry,
        load: LoadWatch,
        overview: ModuleOverview,
        draining: Draining,
    ) -> None:
        self._settings = settings
        self._store = store
        self._registry = registry
        self._load = load
        self._overview = overview
        self._draining = draining

    async def body(self) -> dict[str, Any]:
        """The whole answer but its envelope. Raises StoreUnavailable."""
        modules = self._settings.modules
        return {
            "success": True,
            "draining": self._draining.is_on,
            "runningHere": await self._draining.running(),
            "queues": [await self._queue(module) for module in modules],
            "modules": [await self._module(module) for module in modules],
        }

    async def _queue(self, module: ModuleSettings) -> dict[str, Any]:
        load = await self._load.look(module.queue)
        stats = load.stats
        wait_s = load.wait_s(stats.waiting + 1) if stats.waiting or not load.free_slots else 0.0
        return {
            "queue": module.queue,
            "moduleId": module.id,
            "waiting": stats.waiting,
            "running": stats.running,
            "slots": load.slots,
            "completed": stats.completed,
            "cancelled": stats.cancelled,
            "failed": stats.failed,
            "endedPerSecond": round(stats.ended_per_s, 3),
            "meanRunMs": _ms(stats.mean_run_s),
            "expectedWaitMs": _ms(wait_s),
            "maxQueueLength": module.launch.max_queue_length,
        }

    async def _module(self, module: ModuleSettings) -> dict[str, Any]:
        instances = self._registry.instances(module.id)
        return {
            "moduleId": module.id,
            "name": module.title,
            "unavailable": self._overview.unavailable(module.id),
            "instances": [await self._instance(one) for one in instances if one.is_alive],
        }

    async def _instance(self, instance: Instance) -> dict[str, Any]:
        busy = len(await self._store.busy(instance.instance_id))
        slots = slots_of(instance)
        return {
            "instanceId": instance.instance_id,
            "machine": instance.status.get("machine"),
            "protocol": instance.protocol,
            "slots": slots,
            "busy": busy,
            "load": round(busy / slots, 3) if slots else None,
            "served": instance.commands_served,
            "firstSeen": iso_time(shown_time(instance.first_seen)),
            "lastSeen": iso_time(shown_time(instance.last_seen)),
        }


def add_stats_routes(doors: Doors, stats: HostStats, draining: Draining) -> None:
    """Reading is for everybody who is let in; host/web/doors.py says for whom draining is."""

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

    doors.add_get("/v1/stats", read)
    doors.add_post("/v1/server/drain", drain)


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
