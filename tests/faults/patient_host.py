"""`llamachat serve`, but a module that was killed is launched again at once, however often.

The usual host leaves a module alone that fails five times in a row: here the failures come from
outside, and what becomes of the commands is the question.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path

from host.app import Host, serve_until
from host.processes.supervision import RestartPolicy, Timing
from host.settings import load_settings

AT_ONCE = RestartPolicy(max_failures=1_000_000, first_pause_s=0.1, max_pause_s=0.1)


async def serve(root: Path) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    host = Host(load_settings(root), timing=Timing(restarts=AT_ONCE))
    await host.start()
    await serve_until(host, stop)


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, required=True)
    asyncio.run(serve(parser.parse_args().root))


if __name__ == "__main__":
    main()
