"""What big uploads cost the other clients: their polls' times, without and beside uploads.

    python bench/uploads.py --mb 13 --uploads 10 --json bench-uploads.json

Twenty clients poll a command of their own, and twenty each upload, all from other processes than
the host's. The module takes each upload and ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import re
import secrets
import statistics
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from host_processes import Worker, host_process, redis_process

PAUSE_S = 0.05
STATUS = "/v1/Bench/get_command_status"


def upload(url: str, data: bytes) -> str:
    """A start with a file; the command's id."""
    mark = secrets.token_hex(16)
    head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n\r\n'
    body = head.encode() + data + f"\r\n--{mark}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={mark}"}
    request = urllib.request.Request(f"{url}/v1/bench/tell", body, headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        return str(json.loads(response.read())["commandId"])


async def _poll(url: str, command_id: str, stop: Any, took: list[tuple[float, int]]) -> None:
    """Each answer's time in seconds, and its status."""
    address, body = urlsplit(url), f"commandId={command_id}&offset=0"
    request = (
        f"POST {STATUS} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}"
    ).encode()
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    while not stop.is_set():
        begun_s = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        took.append((time.perf_counter() - begun_s, int(head.split(b" ", 2)[1])))
        await asyncio.sleep(PAUSE_S)
    writer.close()


def poll_all(url: str, ids: Any, count: int, stop: Any, told: Any) -> None:
    """Pollers of one command, once they are told which, until told to stop."""
    command_id = ids.get()

    async def run() -> list[tuple[float, int]]:
        took: list[tuple[float, int]] = []
        await asyncio.gather(*(_poll(url, command_id, stop, took) for _ in range(count)))
        return took

    told.put(asyncio.run(run()))


class Pollers:
    """A process of pollers, there before it is needed."""

    def __init__(self, url: str, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._stop, self._told, self._ids = context.Event(), context.Queue(), context.Queue()
        values = (url, self._ids, count, self._stop, self._told)
        self._process = context.Process(target=poll_all, args=values)
        self._process.start()

    def begin(self, command_id: str) -> Pollers:
        """Poll that command."""
        self._ids.put(command_id)
        return self

    def end(self) -> dict[str, float]:
        """What the polls took, in milliseconds."""
        self._stop.set()
        found = self._told.get(timeout=60)
        self._process.join()
        took_ms = sorted(1000 * one for one, _ in found)
        return {
            "polls": len(took_ms),
            "median_ms": statistics.median(took_ms),
            "p99_ms": took_ms[int(len(took_ms) * 0.99)],
            "max_ms": took_ms[-1],
            "refused": sum(status != 200 for _, status in found),
        }


def work(url: str, stop: threading.Event) -> None:
    """The module: take what comes, and end it."""
    worker = Worker(url)
    path = "/v1/queue/bench_queue?moduleId=Bench&instanceId=bench1&protocol=2&wait=1"
    while not stop.is_set():
        taken = worker.call("GET", path)
        if taken:
            item = {"commandId": taken["reqid"], "attempt": taken["attempt"], "offset": 0}
            item.update(text="done", result={"success": True})
            path_of = "/v1/modules/Bench/progress?instanceId=bench1"
            worker.call("POST", path_of, {"commands": [item]})


def measure(url: str, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The other clients' polls without uploads, then beside them."""
    Worker(url).be_there()
    other, data = Worker(url).start(), secrets.token_bytes(int(options.mb * 2**20))
    alone, others, *followers = (Pollers(url, options.pollers) for _ in range(2 + options.uploads))
    time.sleep(5)  # until their processes are up
    alone.begin(other)
    time.sleep(options.alone_s)
    found = {"alone": alone.end()}
    stop, took_s = threading.Event(), list[float]()
    module = threading.Thread(target=work, args=(url, stop))
    module.start()
    others.begin(other)
    for one in followers:
        begun_s = time.perf_counter()
        one.begin(upload(url, data))
        took_s.append(time.perf_counter() - begun_s)
        time.sleep(1)
        one.end()
    found["beside uploads"] = others.end()
    found["upload"] = {"median_ms": 1000 * statistics.median(took_s), "max_ms": 1000 * max(took_s)}
    stop.set()
    module.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", choices=["redis", "local", "memory"], default="redis")
    parser.add_argument("--mb", type=float, default=13)
    parser.add_argument("--uploads", type=int, default=10)
    parser.add_argument("--pollers", type=int, default=20)
    parser.add_argument("--alone-s", type=float, default=5.0)
    parser.add_argument("--json", type=Path, default=Path("bench-uploads.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-uploads-") as folder:
        with redis_process(Path(folder)) as redis_url:
            store = redis_url if options.store == "redis" else options.store
            with host_process(Path(folder) / "host", store) as (url, _):
                found = measure(url, options)
    for name, figures in found.items():
        print(f"{name:<15}", "  ".join(f"{key} {one:.4g}" for key, one in figures.items()))
    settings = {name: str(value) for name, value in vars(options).items()}
    options.json.write_text(json.dumps({"settings": settings, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
