"""What operators may tell a host about one module: launch it anew."""

from __future__ import annotations

from aiohttp import web

from host.processes.supervisor import HostIsStopping, ModuleStatus, Supervisor, UnknownModule
from host.web.doors import Doors
from host.web.errors import RequestRefused
from host.web.replies import json_reply

_LAUNCHED = {ModuleStatus.STARTING, ModuleStatus.STARTED, ModuleStatus.RESTARTING}


def add_restart_routes(doors: Doors, supervisor: Supervisor) -> None:
    """It is answered when the module is launched, which is before it is ready."""

    async def restart(request: web.Request) -> web.StreamResponse:
        module_id = request.match_info["module_id"]
        try:
            await supervisor.restart(module_id)
        except UnknownModule as error:
            raise RequestRefused(404, str(error)) from None
        except HostIsStopping as error:
            raise RequestRefused(503, str(error)) from None
        state = supervisor.state(module_id)
        if state.status not in _LAUNCHED:
            raise RequestRefused(500, f"module {module_id} is not launched: {state.reason}")
        body = {
            "success": True,
            "moduleId": module_id,
            "status": state.status.value,
            "message": f"Module {module_id} is launched anew",
        }
        return json_reply(request, body)

    doors.add_post("/v1/modules/{module_id}/restart", restart)
