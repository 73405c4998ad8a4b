"""A host with the puppet module in a process of its own: `child_host.py FOLDER LEASE_S SWEEP_S`.

It prints its address, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from puppet import running_host

from host.processes.descriptors import allow_more_descriptors, say_seldom_that_none_is_left
from host.work import sweeper
from host.work.leases import LeaseTerms


@asynccontextmanager
async def child_host(
    root: Path,
    lease_s: float = 20.0,
    descriptors: int = 4096,
    sweep_s: float = sweeper.EVERY_S,
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The process and its address."""
    code = f'ulimit -n {descriptors}; exec "{sys.executable}" "{__file__}" "$@"'
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", code, "sh", str(root), str(lease_s), str(sweep_s)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        process.stdin.close()
        await process.wait()


async def _run(root: Path, lease_s: float, sweep_s: float) -> None:
    logging.basicConfig(filename=root / "log")
    allow_more_descriptors()
    say_seldom_that_none_is_left(asyncio.get_running_loop())
    sweeper.EVERY_S = sweep_s
    terms = LeaseTerms(lease_s=lease_s, part1_lease_s=lease_s)
    async with running_host(root, leases=terms) as host:
        print(host.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_run(Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
