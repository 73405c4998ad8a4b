"""`llamachat status`: the modules of a running host."""

from __future__ import annotations

from typing import Any

from host.client import HostClient


async def status(url: str) -> int:
    """Print a line for each module, and what is wrong under it. Raises HostError."""
    statuses = await module_statuses(url)
    for one in statuses:
        device = one["statusData"].get("inferenceDevice", "")
        print(f"{one['moduleId']:<20} {one['status']:<12} {one['requestCount']:>6} done  {device}")
        if one["reason"]:
            print(f"{'':<20} {one['reason']}")
    if any(one["reason"] for one in statuses):
        print("`llamachat doctor` says more")
    return 0


async def module_statuses(url: str) -> list[dict[str, Any]]:
    """What the host says of its modules. Raises HostError."""
    async with HostClient(url) as client:
        body = await client.call("GET", "/v1/module/list/status")
    return list(body["statuses"])
