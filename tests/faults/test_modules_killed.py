"""Modules killed at random while commands wait and run: every command ends, once, with its text."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest
from clients import Report, crowd
from hosts import PATIENT_HOST, SEED, HostProcess, kill_one, until_ready, write_root


@pytest.mark.parametrize(
    ("clients", "kills", "instances", "slots"),
    [
        (40, 2, 2, 8),
        pytest.param(500, 50, 4, 16, marks=[pytest.mark.slow, pytest.mark.timeout(400)]),
    ],
)
async def test_modules_are_killed(
    tmp_path: Path, store: str, report: Report, clients: int, kills: int, instances: int, slots: int
) -> None:
    begun_s = time.monotonic()
    write_root(tmp_path / "host", store, instances=instances, slots=slots)
    host = HostProcess(tmp_path / "host", PATIENT_HOST)
    await host.start()
    try:
        await until_ready(host, instances)
        async with crowd([host.url], SEED) as run:

            async def kill() -> None:
                chance, done = random.Random(SEED), 0
                while done < kills:
                    await asyncio.sleep(chance.uniform(0.5, 1.5))
                    done += kill_one(host.module_pids(), chance)
                run.is_over = True

            await asyncio.gather(run.run(clients), kill())
            await run.check_again()
            stats = await run.stats()
            figures = run.figures()
    finally:
        host.stop()
    report({"seed": SEED, "kills": kills, **figures, "s": round(time.monotonic() - begun_s)})
    assert figures["failed requests"] == 0
    assert [stats[one] for one in ("waiting", "running")] == [0, 0]
    assert {one: stats[one] for one in run.ends} == dict(run.ends)
    await host.until_no_module_is_left()
