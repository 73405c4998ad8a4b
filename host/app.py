"""The host: its parts put together, started and stopped. Nothing else happens here."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

from aiohttp import web

from host.logs import LogRing
from host.modules import Instance, ModuleRegistry
from host.overview import ModuleOverview
from host.routes import Route, RouteTable
from host.settings import ServerSettings, Settings
from host.store.memory import MemoryStore
from host.store.protocol import CommandStore
from host.supervision import Hooks, ModuleProcessState, ModuleStatus, Timing
from host.supervisor import Supervisor
from host.web.clients import ClientApi
from host.web.errors import error_replies
from host.web.events import add_event_routes
from host.web.explorer import ModulePage, add_explorer_routes
from host.web.guard import guard
from host.web.modules import ModuleApi
from host.web.operators import add_operator_routes
from host.work import WorkDesk

SHUTDOWN_S = 0.5  # for requests that are still being answered when the host stops

_LEFT_ALONE = {ModuleStatus.CRASHED, ModuleStatus.FAILED_START, ModuleStatus.STOPPED}


class PortInUse(Exception):
    """Another program listens where this host should."""

    def __init__(self, server: ServerSettings) -> None:
        super().__init__(
            f"port {server.port} on {server.host} is in use, by another host perhaps: "
            "stop that one, or choose another port with --port"
        )


class Host:
    """One host process. `start` binds and launches the modules; `stop` leaves nothing behind."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: CommandStore | None = None,
        timing: Timing | None = None,
        base_env: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._timing = timing or Timing()
        self._base_env = base_env
        self.server = settings.server
        self.log = LogRing()
        self.store: CommandStore = store or MemoryStore()
        self.registry = ModuleRegistry()
        self.desk = WorkDesk(self.store, self.registry)
        self.supervisor: Supervisor
        self._overview: ModuleOverview
        self._runner: web.AppRunner | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return self.server.url

    async def start(self) -> None:
        """Listen, then launch the modules. Raises PortInUse, OSError for an address not here."""
        listener = self._bind()
        self.server = self.server.model_copy(update={"port": listener.getsockname()[1]})
        self._supervise()
        self._runner = web.AppRunner(
            self._web_app(), handler_cancellation=True, shutdown_timeout=SHUTDOWN_S, access_log=None
        )
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        self._spawn(self.supervisor.start_all())

    async def stop(self) -> None:
        """Stop the modules, end every waiting request, close the store."""
        await self.supervisor.stop_all()
        self.registry.close()
        await self.desk.close()
        await self.store.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.server.host else socket.AF_INET
        try:
            return socket.create_server((self.server.host, self.server.port), family=family)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(self.server) from error
            raise

    def _supervise(self) -> None:
        hooks = Hooks(
            request_quit=self._request_quit,
            on_exit=self.desk.instance_gone,
            on_state=self._state_changed,
        )
        settings = self._settings
        self.supervisor = Supervisor(
            settings.modules,
            self.server,
            self.log,
            hooks,
            broken=settings.broken,
            timing=self._timing,
            base_env=self._base_env,
        )
        self._overview = ModuleOverview(settings, self.supervisor, self.registry)
        for broken in settings.broken:
            self.log.add(f"wrong settings: {broken.reason}", level="error", category=broken.id)
        for warning in settings.warnings:
            self.log.add(warning, level="warning", category="host")

    def _web_app(self) -> web.Application:
        app = web.Application(
            middlewares=[error_replies, guard(self.server.allowed_hosts)],
            client_max_size=int(self.server.max_body_mb * 2**20),
        )
        add_operator_routes(app, self.log, self._overview.statuses)
        add_explorer_routes(app, self._pages)
        ModuleApi(
            self.desk, self.registry, self.log, self._overview.launched, self._seen
        ).add_routes(app)
        add_event_routes(app, self.store)
        ClientApi(
            self.store,
            self.registry,
            self._routes(),
            self._overview.module_ids,
            self._overview.unavailable,
        ).add_routes(app)
        return app

    def _routes(self) -> RouteTable:
        table = RouteTable()
        for module in self._settings.modules:
            for route in module.routes:
                table.add(
                    Route(
                        module_id=module.id,
                        queue=module.queue,
                        path=route.path,
                        method=route.method.upper(),
                        command=route.command,
                        is_long=route.long_process,
                        inputs=route.inputs,
                    )
                )
        return table

    def _pages(self) -> list[ModulePage]:
        return [
            ModulePage(m.id, m.title, m.path, [route.path for route in m.routes])
            for m in self._settings.modules
        ]

    def _seen(self, instance: Instance) -> None:
        if instance.is_ready:
            self.supervisor.mark_ready(instance.module_id, instance.instance_id)
        else:
            self.supervisor.mark_seen(instance.module_id, instance.instance_id)

    async def _request_quit(self, module_id: str, instance_id: str) -> None:
        instance = self.registry.find(instance_id)
        if instance is not None:
            self.registry.post(instance, {"type": "quit"})

    def _state_changed(self, module_id: str, state: ModuleProcessState) -> None:
        reason = self._overview.unavailable(module_id)
        if state.status in _LEFT_ALONE and reason is not None:
            queue = next(m.queue for m in self._settings.modules if m.id == module_id)
            self._spawn(self.desk.module_gone(queue, reason))

    def _spawn(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def serve_until(host: Host, stop: asyncio.Event) -> None:
    """Run a started host until `stop` is set; whatever ends the wait, the host is stopped."""
    try:
        with suppress(asyncio.CancelledError):
            await stop.wait()
    finally:
        await host.stop()
