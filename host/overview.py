"""What the host says about its modules: settings, process and instances seen as one."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from host.modules import Instance, ModuleRegistry
from host.settings import Settings
from host.supervision import ModuleProcessState, ModuleStatus
from host.supervisor import Supervisor

_TAKES_COMMANDS = {ModuleStatus.STARTING, ModuleStatus.STARTED, ModuleStatus.RESTARTING}

_NOT_RUNNING = {
    ModuleStatus.NOT_STARTED: "was not started (AutoStart is off in its settings)",
    ModuleStatus.FAILED_START: "could not be started",
    ModuleStatus.CRASHED: "crashed again and again, and was left alone",
    ModuleStatus.STOPPING: "is being stopped",
    ModuleStatus.STOPPED: "was stopped",
}


class ModuleOverview:
    """Answers about modules by id, letter case aside."""

    def __init__(
        self, settings: Settings, supervisor: Supervisor, registry: ModuleRegistry
    ) -> None:
        self._settings = settings
        self._supervisor = supervisor
        self._registry = registry

    def module_ids(self) -> list[str]:
        return [module.id for module in self._settings.modules]

    def launched(self, module_id: str) -> str | None:
        """The id of the instance that this host launched."""
        return self._supervisor.state(module_id).instance_id

    def unavailable(self, module_id: str) -> str | None:
        """Why nobody will take this module's commands, in plain words; None when someone will."""
        state = self._supervisor.state(module_id)
        if state.status in _TAKES_COMMANDS or self._has_other_instances(module_id, state):
            return None
        why = _NOT_RUNNING.get(state.status, "is not known here")
        return f"module {module_id} {why}" + (f": {state.reason}" if state.reason else "")

    def _has_other_instances(self, module_id: str, state: ModuleProcessState) -> bool:
        return any(
            instance.is_alive and instance.instance_id != state.instance_id
            for instance in self._registry.instances(module_id)
        )

    def statuses(self) -> list[dict[str, Any]]:
        """Every module, as `GET /v1/module/list/status` has it."""
        modules = {module.id: module for module in self._settings.modules}
        described = []
        for module_id, state in self._supervisor.states().items():
            module = modules.get(module_id)
            body = self._described(module_id, state)
            body["name"] = module.title if module else module_id
            body["queue"] = module.queue if module else ""
            described.append(body)
        return described

    def _described(self, module_id: str, state: ModuleProcessState) -> dict[str, Any]:
        instances = self._registry.instances(module_id)
        newest = max(instances, key=lambda one: one.last_seen, default=None)
        return {
            "moduleId": module_id,
            "status": state.status.value,
            "started": _iso(state.started_at),
            "lastSeen": _iso(state.last_seen),
            "requestCount": sum(one.commands_served for one in instances),
            "statusData": newest.status if newest else {},
            "reason": state.reason or (newest.status.get("error") if newest else None),
            "pid": state.pid,
            "restarts": state.restarts,
            "instances": [_instance(one) for one in instances],
        }


def _instance(instance: Instance) -> dict[str, Any]:
    seen = datetime.fromtimestamp(instance.last_seen, timezone.utc)
    return {
        "instanceId": instance.instance_id,
        "protocol": instance.protocol,
        "machine": instance.status.get("machine"),
        "slots": instance.status.get("slots"),
        "busy": instance.status.get("busy"),
        "lastSeen": _iso(seen),
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="milliseconds") if moment else None
