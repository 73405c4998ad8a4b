"""The host of a local store killed and started again: nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from clients import Crowd, Report, crowd
from hosts import SEED, HostProcess, remote_modules, until_ready, write_root


@pytest.mark.parametrize("modules", ["its own", "elsewhere"])
@pytest.mark.parametrize(
    ("clients", "kills"),
    [
        (40, 1),
        pytest.param(500, 20, marks=[pytest.mark.slow, pytest.mark.timeout(400)]),
    ],
)
async def test_the_host_is_killed(
    tmp_path: Path, report: Report, clients: int, kills: int, modules: str
) -> None:
    """Clients go on through it. A module that the host had launched is gone with it; one elsewhere
    works on, and all that it does comes to its end."""
    begun_s = time.monotonic()
    write_root(tmp_path, launches=modules == "its own", instances=2)
    host = HostProcess(tmp_path)
    await host.start()
    with ExitStack() as stack:
        stack.callback(host.stop)
        if modules == "elsewhere":
            stack.enter_context(remote_modules(tmp_path, [host.url], 2))
        async with crowd([host.url], SEED, may_lose_tail=True) as run:
            await asyncio.gather(run.run(clients), _kill(host, run, kills))
            await run.check_again()
            stats = await run.stats()
            figures = run.figures()
    lost = max(watch.lost_characters for watch in run.watches)
    took_s = round(time.monotonic() - begun_s)
    del figures["failed retries"]  # the only host is away for a while: they are many
    report({"seed": SEED, "kills": kills, **figures, "longest lost tail": lost, "s": took_s})
    assert [stats[one] for one in ("waiting", "running")] == [0, 0]
    if modules == "elsewhere":
        assert (figures["failed"], lost) == (0, 0)
    await host.until_no_module_is_left()


async def _kill(host: HostProcess, run: Crowd, kills: int) -> None:
    chance = random.Random(SEED)
    for _ in range(kills):
        await until_ready(host, 1)
        await asyncio.sleep(chance.uniform(0.2, 2.5))
        host.kill()
        await host.start()
    run.is_over = True


@pytest.mark.parametrize("later", [300, pytest.param(1000, marks=pytest.mark.slow)])
async def test_a_reply_is_readable_after_a_restart_and_many_later(
    tmp_path: Path, report: Report, later: int
) -> None:
    """More than the host keeps in memory; the restarts are one in order and one by a kill."""
    begun_s = time.monotonic()
    write_root(tmp_path)
    host = HostProcess(tmp_path)
    await host.start()
    try:
        async with crowd([host.url], SEED) as run:
            await run.complete(1)
            host.stop()
            await host.start()
            await run.check_again()
            await run.complete(later)
            host.kill()
            await host.start()
            await run.check_again()
            figures = run.figures()
    finally:
        host.stop()
    report({"later commands": later, **figures, "s": round(time.monotonic() - begun_s)})
    assert figures["completed"] == later + 1
