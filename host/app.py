"""The host: its parts put together, started and stopped. Nothing else happens here."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

from aiohttp import web

from host.access.host_access import HostAccess
from host.access.open_requests import OpenRequests
from host.access.processes import TrustedProcesses
from host.backends import open_backend
from host.instances.instance import Instance, sign_of
from host.instances.load import LoadWatch
from host.instances.overview import ModuleOverview
from host.instances.registry import ModuleRegistry
from host.log.ring import LogRing
from host.processes.descriptors import most_connections
from host.processes.launched_id import is_launched_here
from host.processes.supervision import (
    TRIES_AGAIN,
    Hooks,
    ModuleProcessState,
    ModuleStatus,
    Timing,
)
from host.processes.supervisor import Supervisor
from host.settings import ServerSettings, Settings
from host.store.protocol import CommandStore, StoreUnavailable
from host.switchboard.protocol import Switchboard
from host.web.clients import ClientApi
from host.web.connections import ACCEPTED_AT_ONCE, BACKLOG, Connections
from host.web.doors import Doors
from host.web.events import add_event_routes
from host.web.explorer import ModulePage, add_explorer_routes
from host.web.guard import guard
from host.web.modules import ModuleApi
from host.web.operators import add_operator_routes
from host.web.origins import Origins
from host.web.restarts import add_restart_routes
from host.web.routes import RouteTable
from host.web.server import answer_all
from host.web.session import add_session_routes
from host.web.stats import HostStats, add_stats_routes
from host.work.dispatch import Dispatcher
from host.work.draining import Draining
from host.work.follow import Follow
from host.work.held import Held
from host.work.intake import Intake
from host.work.leases import LeaseTerms
from host.work.sweeper import Sweeper

STORE_PAUSE_S = 1.0  # before a store that could not be written to is tried again
SHARE_S = 1.0  # that a start waits for what hosts on one store share
SHUTDOWN_S = 0.2  # for requests that are still being answered when the host stops

_LEFT_ALONE = {ModuleStatus.CRASHED, ModuleStatus.FAILED_START, ModuleStatus.STOPPED}


class PortInUse(Exception):
    """Another program listens where this host should."""

    def __init__(self, server: ServerSettings) -> None:
        super().__init__(
            f"port {server.port} on {server.host} is in use, by another host perhaps: "
            "stop that one, or choose another port with --port. `llamachat doctor` says whose it is"
        )


class Host:
    """One host process. `start` binds and launches the modules; `stop` leaves nothing behind."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: CommandStore | None = None,
        switchboard: Switchboard | None = None,
        leases: LeaseTerms | None = None,
        timing: Timing | None = None,
        base_env: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._timing = timing or Timing(restarts=TRIES_AGAIN)
        self._base_env = base_env
        self.server = settings.server
        self.log = LogRing()
        own_store, own_switchboard = open_backend(settings.server)
        self.store: CommandStore = store or own_store
        self._switchboard = switchboard or own_switchboard
        self.registry = ModuleRegistry(self._switchboard)
        self.dispatcher = Dispatcher(self.store, self.registry, leases or LeaseTerms())
        self.draining = Draining(self.store, self.dispatcher.claims, self._running, self.log)
        self.sweeper = Sweeper(
            self.store, self.registry, self.dispatcher, self._abandoned, self.log
        )
        self.held = Held(
            self.store, int(self.server.max_held_mb * 2**20), int(self.server.max_body_mb * 2**20)
        )
        self.access = HostAccess(settings)
        self._is_stopping = False
        self._is_supervising = False
        self.supervisor: Supervisor
        self._open_requests: OpenRequests
        self.connections: Connections
        self._overview: ModuleOverview
        self._runner: web.AppRunner | None = None
        self._listening: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return self.server.url

    async def start(self) -> None:
        """Listen, open the store, then launch the modules.

        Raises OpenToStrangers, PortInUse, OSError for an address not here, StoreLocked,
        StoreUnavailable.
        """
        self.access.check()
        listener = self._bind()
        try:
            await self._open_store()
        except BaseException:
            listener.close()
            raise
        self.server = self.server.model_copy(update={"port": listener.getsockname()[1]})
        await self.access.open()
        sharing = self._spawn(self.access.share_sessions(self._switchboard.shared))
        await asyncio.wait({sharing}, timeout=SHARE_S)
        self._supervise()
        origins = Origins(self.server.allowed_origins)
        self._runner = web.AppRunner(
            self._web_app(origins),
            handler_cancellation=True,
            shutdown_timeout=SHUTDOWN_S,
        )
        await self._runner.setup()
        answer_all(self._runner, guard(self.server.allowed_hosts, origins))
        await self._listen(listener, self._runner)
        self._spawn(self._open_requests.run())
        self._spawn(self.registry.run())
        self._spawn(self.sweeper.run())
        self._spawn(self.supervisor.start_all())

    async def _listen(self, listener: socket.socket, runner: web.AppRunner) -> None:
        most = most_connections(self.server.max_connections)
        self.connections = Connections(most, self.access.addresses.network_of)
        self._spawn(self.connections.run())
        assert runner.server is not None  # noqa: S101  it is set up
        loop, protocol = asyncio.get_running_loop(), self.connections.protocol(runner.server)
        self._listening = await loop.create_server(
            protocol, sock=listener, backlog=ACCEPTED_AT_ONCE
        )
        listener.listen(BACKLOG)

    async def _open_store(self) -> None:
        await self.store.open()
        await self.registry.open()
        if self.store.is_shared:  # the modules of other hosts are none of this one's business
            return
        workers = [one for one in await self.store.workers() if is_launched_here(one)]
        queues = {module.queue for module in self._settings.modules}
        try:
            await self.dispatcher.endings.host_restarted(workers, queues)
        except StoreUnavailable as error:  # a full disk: it is no reason not to start
            self.log.add(f"what the last run has left is not ended yet: {error}", category="host")
            self._spawn(self._end_last_run(workers))

    async def _end_last_run(self, workers: list[str]) -> None:
        """As soon as the store can be written to."""
        while True:
            await asyncio.sleep(STORE_PAUSE_S)
            with suppress(StoreUnavailable):
                return await self.dispatcher.endings.host_restarted(workers, ())

    async def stop(self) -> None:
        """Stop the modules, end every waiting request, close the store. After a start that failed:
        let go of what had been taken hold of."""
        self._is_stopping = True
        self.dispatcher.claims.close()
        if self._is_supervising:
            await self._give_back()
            await self.supervisor.stop_all()
        await self.draining.close()
        await self.dispatcher.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.registry.close()
        if self._listening is not None:
            self._listening.close()
        if self._runner is not None:  # before the store: a client that leaves takes its command
            await self._runner.cleanup()
        await self.store.close()

    async def _give_back(self) -> None:
        """What runs here goes on in the next process, where it can."""
        error = f"the host was told to end while this command ran{self.draining.patience}"
        try:
            await self.dispatcher.endings.host_stops(self._overview.all_launched(), error)
        except StoreUnavailable as away:  # the leases run out, and another host gives it back
            self.log.add(f"what runs is not given back: {away}", category="host")

    async def _running(self) -> int:
        """How many commands only this host, or a module that it launched, can bring to an end."""
        if not self.store.is_shared:
            queues = {module.queue for module in self._settings.modules}
            return sum([(await self.store.stats(queue)).running for queue in queues])
        held = await self.store.busy(*self._overview.all_launched())
        return max(len(held), self.dispatcher.part1.busy)

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
            on_exit=self._instance_gone,
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
            more_env=lambda _: {"CPAI_API_TOKEN": self.access.module_token},
        )
        self._overview = ModuleOverview(settings, self.supervisor, self.registry)
        self._is_supervising = True
        for broken in settings.broken:
            self.log.add(f"wrong settings: {broken.reason}", level="error", category=broken.id)
        opened = self.access.warning
        for warning in [*settings.warnings, *([opened] if opened else [])]:
            self.log.add(warning, level="warning", category="host")

    def _web_app(self, origins: Origins) -> web.Application:
        principals = self.access.principals()
        self._open_requests = OpenRequests(principals.keys, lambda: self.connections.end_all())
        app = web.Application(client_max_size=int(self.server.max_body_mb * 2**20))
        origins.add_to(app)
        doors = Doors(app, principals, self._open_requests, self._trusted_processes())
        modules, begun = self._modules_by_queue(), self.dispatcher.claims.begun
        load = LoadWatch(self.store, self.registry, modules, begun)
        stats = HostStats(
            self._settings, self.store, self.registry, load, self._overview, self.draining
        )
        add_operator_routes(
            doors, self.log, self._overview.statuses, self.draining, lambda: self.sweeper.trouble
        )
        add_stats_routes(doors, stats, self.draining)
        add_restart_routes(doors, self.supervisor)
        add_session_routes(doors, principals, self.access.addresses)
        add_explorer_routes(app, doors, self._pages)
        ModuleApi(
            self.dispatcher, self.registry, self.log, modules, self._overview, self._seen
        ).add_routes(doors)
        follow = Follow(self.store, load)
        add_event_routes(doors, follow)
        ClientApi(
            Intake(
                self.store,
                self.registry,
                load,
                unavailable=self._overview.unavailable,
                next_try_s=self._overview.next_try_s,
                closed=self.draining.refusal,
            ),
            follow,
            self.dispatcher.endings,
            RouteTable.of(self._settings.modules),
            self._overview.module_ids(),
            self.held,
        ).add_routes(doors)
        doors.check_all()
        return app

    def _trusted_processes(self) -> TrustedProcesses | None:
        """Of modules that know no token; where there are none, no request pays for it."""
        trusted = self.access.trusting
        if not trusted:
            return None

        def launched() -> list[int]:
            states = [state for one in trusted for state in self.supervisor.instances(one)]
            return [state.pid for state in states if state.pid is not None]

        return TrustedProcesses(launched)

    def _modules_by_queue(self) -> dict[str, str]:
        return {module.queue: module.id for module in self._settings.modules}

    def _pages(self) -> list[ModulePage]:
        return [
            ModulePage(m.id, m.title, m.path, [route.path for route in m.routes])
            for m in self._settings.modules
        ]

    def _seen(self, instance: Instance) -> None:
        module_id, instance_id = instance.module_id, instance.instance_id
        self.supervisor.mark_seen(module_id, instance_id, sign_of(instance))
        if instance.is_ready:
            self.supervisor.mark_ready(module_id, instance_id)
        if instance.protocol >= 2 and self.store.is_shared:  # it drains when this host dies
            self.supervisor.watches_itself(module_id, instance_id)

    async def _request_quit(self, module_id: str, instance_id: str) -> None:
        instance = self.registry.find(instance_id)
        if instance is not None:
            with suppress(StoreUnavailable):  # the stop's next step is a signal
                await self.registry.post(instance, {"type": "quit"})

    async def _instance_gone(self, module_id: str, instance_id: str, reason: str) -> None:
        try:
            await self.dispatcher.instance_gone(module_id, instance_id, reason)
        except StoreUnavailable as error:  # its lease runs out: the sweep does it later
            self.log.add(f"what {instance_id} ran is not ended yet: {error}", category="host")

    def _state_changed(self, module_id: str, state: ModuleProcessState) -> None:
        if state.status in _LEFT_ALONE:
            self._spawn(self.sweeper.sweep())

    def _abandoned(self) -> dict[str, str]:
        """Queues whose module will not come, and why. On a shared store another host's may, and
        when this host stops, the next host's: what waits is kept for them."""
        if self._is_stopping or self.store.is_shared:
            return {}
        return {
            module.queue: reason
            for module in self._settings.modules
            if self._is_left_alone(module.id)
            and (reason := self._overview.unavailable(module.id)) is not None
        }

    def _is_left_alone(self, module_id: str) -> bool:
        state = self.supervisor.state(module_id)
        return state.status in _LEFT_ALONE and state.next_try_s is None

    def _spawn(self, job: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def serve_until(host: Host, stop: asyncio.Event) -> None:
    """Run a started host until `stop` is set, or it is drained; whatever ends the wait, the host
    is stopped."""
    ends = [asyncio.ensure_future(event.wait()) for event in (stop, host.draining.done)]
    try:
        with suppress(asyncio.CancelledError):
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
        await host.stop()
