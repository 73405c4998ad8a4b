"""The host's clock is set by an hour, on and back, again and again: nobody sees anything of it."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from pathlib import Path

import pytest
from clients import Report, crowd
from hosts import JUMPING_HOST, SEED, HostProcess, until_ready, write_root

LIMITS = {"MaxWaitSecs": 600, "MaxRunSecs": 600}


@pytest.mark.parametrize(
    ("clients", "jumps"),
    [(40, 2), pytest.param(500, 40, marks=[pytest.mark.slow, pytest.mark.timeout(400)])],
)
async def test_the_clock_jumps(tmp_path: Path, report: Report, clients: int, jumps: int) -> None:
    """More clients than slots, so that some wait."""
    begun_s = time.monotonic()
    write_root(tmp_path, instances=2, slots=8, limits=LIMITS)
    host = HostProcess(tmp_path, JUMPING_HOST)
    await host.start()
    try:
        await until_ready(host, 2)
        async with crowd([host.url], SEED) as run:

            async def jump() -> None:
                chance = random.Random(SEED)
                for number in range(jumps):
                    await asyncio.sleep(chance.uniform(0.5, 1.5))
                    # on, back behind the true time, and on to it again
                    is_on = number % 4 in (0, 3)
                    host.signal(signal.SIGUSR1 if is_on else signal.SIGUSR2)
                await asyncio.sleep(1.5)  # a sweep of the host
                run.is_over = True

            await asyncio.gather(run.run(clients), jump())
            await run.check_again()
            stats, figures = await run.stats(), run.figures()
    finally:
        host.stop()
    report({"seed": SEED, "jumps": jumps, **figures, "s": round(time.monotonic() - begun_s)})
    assert (figures["failed"], figures["failed requests"]) == (0, 0)
    assert [stats[one] for one in ("waiting", "running")] == [0, 0]
    assert {one: stats[one] for one in run.ends} == dict(run.ends)
    assert stats["meanRunMs"] < 60_000
