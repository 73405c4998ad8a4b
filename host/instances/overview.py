"""What the host says about its modules: settings, process and instances seen as one."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from host.instances.instance import Instance, shown_time
from host.instances.registry import ModuleRegistry
from host.processes.launched_id import is_launched_here
from host.processes.supervision import ModuleProcessState, ModuleStatus
from host.processes.supervisor import Supervisor
from host.settings import Settings

_TAKES_COMMANDS = {ModuleStatus.STARTING, ModuleStatus.STARTED, ModuleStatus.RESTARTING}

_NOT_RUNNING = {
    ModuleStatus.NOT_STARTED: "was not started (AutoStart is off in its settings)",
    ModuleStatus.FAILED_START: "could not be started",
    ModuleStatus.CRASHED: "is not running",  # its reason says how often it crashed
    ModuleStatus.STOPPING: "is being stopped",
    ModuleStatus.STOPPED: "was stopped",
}


_SICK = {ModuleStatus.FAILED_START, ModuleStatus.CRASHED}
MORE = "`llamachat doctor` says more"


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
        """The id of the instance that this host launched; of the best, where it launched several.

        Modules of protocol 1 do not say which they are.
        """
        return self._supervisor.state(module_id).instance_id

    def all_launched(self) -> list[str]:
        """The ids of all instances that this host launched and that run."""
        ids = [
            state.instance_id
            for module_id in self.module_ids()
            for state in self._supervisor.instances(module_id)
        ]
        return [one for one in ids if one is not None]

    def unavailable(self, module_id: str) -> str | None:
        """Why nobody will take this module's commands, in plain words; None when someone will."""
        state = self._supervisor.state(module_id)
        if state.status in _TAKES_COMMANDS or self._has_other_instances(module_id):
            return None
        why = _NOT_RUNNING.get(state.status, "is not known here") + self._what_next(state)
        said = f"module {module_id} {why}" + (f": {state.reason}" if state.reason else "")
        return f"{said}. {MORE}" if state.status in _SICK else said

    def next_try_s(self, module_id: str) -> float | None:
        """In how many seconds a module that was given up is tried again; None: not by itself."""
        return self._until_s(self._supervisor.state(module_id))

    def _until_s(self, state: ModuleProcessState) -> float | None:
        if state.next_try_s is None:
            return None
        return max(0.0, state.next_try_s - self._supervisor.now_s())

    def _what_next(self, state: ModuleProcessState) -> str:
        if state.status is not ModuleStatus.CRASHED:
            return ""
        until_s = self._until_s(state)
        if until_s is None:
            return ", and was left alone"
        return f", and is tried again in {_span(until_s)}"

    def _next_try(self, state: ModuleProcessState) -> str | None:
        """The moment as the system's clock will have it."""
        until_s = self._until_s(state)
        moment = datetime.now(timezone.utc)
        return None if until_s is None else _iso(moment + timedelta(seconds=until_s))

    def _has_other_instances(self, module_id: str) -> bool:
        return any(
            instance.is_alive and not self._is_own(module_id, instance.instance_id)
            for instance in self._registry.instances(module_id)
        )

    def _is_own(self, module_id: str, instance_id: str) -> bool:
        """Whether this host launched that instance: another on this machine may have."""
        return is_launched_here(instance_id) and any(
            one.instance_id == instance_id for one in self._supervisor.instances(module_id)
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
            "statusData": _shown_status(newest.status) if newest else {},
            "reason": state.reason or (_reason(newest) if newest else None),
            "safeMode": _first_safe_mode(instances),
            "pid": state.pid,
            "restarts": state.restarts,
            "nextTry": self._next_try(state),
            "instances": self._instances(module_id, instances),
        }

    def _instances(self, module_id: str, seen: list[Instance]) -> list[dict[str, Any]]:
        """Those launched here, whether they speak or not, then those elsewhere that do."""
        by_id = {one.instance_id: one for one in seen}
        described = [
            _launched(state, by_id.pop(state.instance_id or "", None))
            | {"nextTry": self._next_try(state)}
            for state in self._supervisor.instances(module_id)
            if state.status is not ModuleStatus.NOT_STARTED
        ]
        return described + [_elsewhere(one) for one in by_id.values()]


def _shown_status(status: Mapping[str, Any]) -> dict[str, Any]:
    """Everybody may see it; the ids of commands are their owners'."""
    return {name: value for name, value in status.items() if name != "commands"}


def _launched(state: ModuleProcessState, instance: Instance | None) -> dict[str, Any]:
    """An instance that this host launched: what its process is, and what it says itself."""
    spoken = _spoken(instance)
    return {
        **spoken,
        "instanceId": state.instance_id,
        "machine": spoken["machine"] or platform.node(),
        "lastSeen": _iso(state.last_seen) or spoken["lastSeen"],
        "isLaunchedHere": True,
        "status": state.status.value,
        "pid": state.pid,
        "restarts": state.restarts,
        "reason": state.reason or spoken["reason"],
    }


def _elsewhere(instance: Instance) -> dict[str, Any]:
    """An instance that somebody else launched: its process is not known here."""
    status = ModuleStatus.STARTED if instance.is_ready else ModuleStatus.STARTING
    return {
        **_spoken(instance),
        "isLaunchedHere": False,
        "status": (status if instance.is_alive else ModuleStatus.UNKNOWN).value,
        "pid": None,
        "restarts": None,
        "nextTry": None,
    }


def _spoken(instance: Instance | None) -> dict[str, Any]:
    """What an instance shows of itself; all None for one that has not spoken."""
    if instance is None:
        names = ("instanceId", "protocol", "machine", "slots", "busy", "state", "lastSeen")
        return dict.fromkeys((*names, "reason", "safeMode"))
    seen = datetime.fromtimestamp(shown_time(instance.last_seen), timezone.utc)
    return {
        "instanceId": instance.instance_id,
        "protocol": instance.protocol,
        "machine": instance.status.get("machine"),
        "slots": instance.status.get("slots"),
        "busy": instance.status.get("busy"),
        "state": instance.status.get("state"),
        "lastSeen": _iso(seen),
        "reason": _reason(instance),
        "safeMode": _safe_mode(instance),
    }


def _reason(instance: Instance) -> str | None:
    """What is wrong with an instance, by its own word or by what it sends."""
    return instance.status.get("error") or instance.faults.words or None


def _safe_mode(instance: Instance) -> dict[str, Any] | None:
    """What an instance says it gave up, why, and what repairs it; None where it gave up nothing."""
    told = instance.status.get("safeMode")
    return told if isinstance(told, dict) else None


def _first_safe_mode(instances: list[Instance]) -> dict[str, Any] | None:
    """Of the first instance that is in safe mode: whoever looks at the module is to know."""
    told = (_safe_mode(one) for one in instances if one.is_alive)
    return next((one for one in told if one is not None), None)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="milliseconds") if moment else None


def _span(seconds: float) -> str:
    """A time to wait, as people say it."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
