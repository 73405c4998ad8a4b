"""`llamachat restart`: tell a host to launch one of its modules anew."""

from __future__ import annotations

from urllib.parse import quote

from host.cli.client import HostClient


async def restart(url: str, module_id: str, token: str | None = None) -> int:
    """Return the exit code. `token` is an operator's key, or what else the host lets operators in
    for. Raises HostError."""
    async with HostClient(url, token) as client:
        body = await client.call("POST", f"/v1/modules/{quote(module_id, safe='')}/restart")
    print(body["message"])
    return 0
