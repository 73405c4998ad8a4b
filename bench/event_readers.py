"""Many event readers of one reply that grows on Redis: what they cost the host's processor.

    python bench/event_readers.py --readers 1000 --json bench-event-readers.json

Each reader's stream is read to its end and counted, not parsed, in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from host_processes import Worker, host_process, redis_process

DONE = b"event: done"


async def _read_one(url: str, command_id: str, ready: asyncio.Semaphore) -> tuple[int, int]:
    """Events and bytes of one stream."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**20)
    try:
        head = f"GET /v1/commands/{command_id}/events HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n"
        writer.write(head.encode())
        await reader.readuntil(b"\r\n\r\n")
        ready.release()
        events = size = 0
        tail = b""
        while DONE not in tail or not tail.endswith(b"0\r\n\r\n"):
            data = await reader.read(2**18)
            if not data:
                raise RuntimeError("a stream ended before its command")
            events += data.count(b"event: ")
            size += len(data)
            tail = (tail + data)[-(2**18) :]
        return events, size
    finally:
        writer.close()


def read_all(url: str, command_id: str, count: int, told: Any) -> None:
    """Say so when all readers are there, and again what they have read."""

    async def run() -> list[tuple[int, int]]:
        ready = asyncio.Semaphore(0)
        tasks = [asyncio.create_task(_read_one(url, command_id, ready)) for _ in range(count)]
        for _ in range(count):
            await ready.acquire()
        told.put("there")
        return list(await asyncio.gather(*tasks))

    told.put(asyncio.run(run()))


def grow(worker: Worker, work: dict[str, Any], options: argparse.Namespace) -> None:
    """The module's side: equal steps at an even pace, then the end."""
    text = "All work and no play. " * (options.chars // options.steps // 22 + 1)
    piece, begun_s = text[: options.chars // options.steps], time.perf_counter()
    item = {"commandId": work["reqid"], "attempt": work["attempt"], "text": piece}
    for step in range(options.steps):
        report(worker, {**item, "offset": step * len(piece)})
        next_s = begun_s + (step + 1) * options.every_s
        time.sleep(max(0.0, next_s - time.perf_counter()))
    end = {"offset": options.steps * len(piece), "text": "", "result": {"success": True}}
    report(worker, {**item, **end})


def report(worker: Worker, item: dict[str, Any]) -> None:
    worker.call("POST", "/v1/modules/Bench/progress?instanceId=bench1", {"commands": [item]})


def one_round(url: str, pid: int, options: argparse.Namespace) -> dict[str, float]:
    """The host's processor time from the first text to the last reader's end."""
    worker = Worker(url)
    worker.be_there()
    command_id = worker.start()
    path = "/v1/queue/bench_queue?moduleId=Bench&instanceId=bench1&protocol=2&wait=5"
    work = worker.call("GET", path)
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    readers = context.Process(target=read_all, args=(url, command_id, options.readers, told))
    readers.start()
    told.get(timeout=120)
    before_s, begun_s = _cpu_s(pid), time.perf_counter()
    grow(worker, work, options)
    found = told.get(timeout=600)
    wall_s, used_s = time.perf_counter() - begun_s, _cpu_s(pid) - before_s
    readers.join()
    events = sum(one for one, _ in found)
    return {
        "cpu_s": used_s,
        "wall_s": wall_s,
        "events": events,
        "cpu_us_per_event": used_s / events * 1e6,
        "sent_mb": sum(size for _, size in found) / 1e6,
    }


def _cpu_s(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readers", type=int, default=1000)
    parser.add_argument("--chars", type=int, default=100_000, help="of the whole reply")
    parser.add_argument("--steps", type=int, default=50, help="in which it grows")
    parser.add_argument("--every-s", type=float, default=0.2, help="between two steps")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("bench-event-readers.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-readers-") as folder:
        with redis_process(Path(folder)) as store:
            with host_process(Path(folder) / "host", store) as (url, pid):
                rounds = [one_round(url, pid, options) for _ in range(options.rounds)]
    median = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    for name, figure in median.items():
        print(f"{name:<18} {figure:.4g}")
    settings = {name: str(value) for name, value in vars(options).items()}
    body = {"settings": settings, "rounds": rounds}
    options.json.write_text(json.dumps({**body, "median": median}, indent=2) + "\n")


if __name__ == "__main__":
    main()
