"""`llamachat status`: the modules of a running host."""

from __future__ import annotations

from typing import Any

from host.cli.client import HostClient


async def status(url: str, token: str | None = None) -> int:
    """Print a line for each module, and what is wrong under it. Raises HostError."""
    statuses = await module_statuses(url, token)
    if trouble := await store_trouble(url, token):
        print(f"the store is not available now: {trouble}")
    for one in statuses:
        device = one["statusData"].get("inferenceDevice", "")
        safe_mode = one.get("safeMode") or {}
        state = one["status"] + (" (safe mode)" if safe_mode else "")
        print(f"{one['moduleId']:<20} {state:<12} {one['requestCount']:>6} done  {device}")
        next_try = one.get("nextTry") and f"it is tried again at {one['nextTry']}"
        for line in (one["reason"], next_try, safe_mode.get("reason"), safe_mode.get("remedy")):
            if line:
                print(f"{'':<20} {line}")
    if any(one["reason"] for one in statuses):  # safe mode's remedy names it itself
        print("`llamachat doctor` says more")
    return 0


async def store_trouble(url: str, token: str | None = None) -> str:
    """What the host says of its store, where something is wrong. Raises HostError."""
    async with HostClient(url, token) as client:
        return str((await client.call("GET", "/v1/status/ping")).get("storeTrouble", ""))


async def module_statuses(url: str, token: str | None = None) -> list[dict[str, Any]]:
    """What the host says of its modules. Raises HostError."""
    async with HostClient(url, token) as client:
        body = await client.call("GET", "/v1/module/list/status")
    return list(body["statuses"])
