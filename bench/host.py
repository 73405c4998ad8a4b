"""What the host costs, beside the least that aiohttp does for the same request; in turns.

    python bench/host.py --json bench-host.json

Each server runs in a process of its own, and so does the load, over keep-alive connections. A
ratio is the median of the ratios of the rounds: both sides of one were measured one after the
other. `--parts` chooses what is measured: polls, starts, hosts, depth, readers.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from host_processes import Worker, bare_process, host_process, redis_process
from http_load import Load

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
REPLY = "The quick brown fox jumps over the lazy dog. " * 8
STATUS = "/v1/Bench/get_command_status"
TELL = "/v1/bench/tell"
START_BODY = "prompt=What+can+you+do+for+me+today%3F&max_tokens=64&temperature=0.4"


def put_load(load: Load) -> dict[str, float]:
    """Run one load in a process of its own."""
    file = Path(__file__).with_name("http_load.py")
    command = [sys.executable, str(file), json.dumps(asdict(load))]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"bench/host.py: the load failed: {ended.stderr[-2000:]}")
    return dict(json.loads(ended.stdout))


class Bench:
    """The servers of one run, and what was measured."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        self.options = options
        self._stack = stack
        self.rows: list[dict[str, Any]] = []
        self._redis: str | None = None

    def folder(self) -> Path:
        """A fresh one, gone after the run."""
        made = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-host-"))
        return Path(made)

    def store_url(self, store: str) -> str:
        if store != "redis":
            return store
        if self._redis is None:
            self._redis = self._stack.enter_context(redis_process(self.folder()))
        return self._redis

    @contextmanager
    def host(self, store: str) -> Iterator[tuple[Worker, int]]:
        """A host with that store, its module there."""
        with host_process(self.folder(), self.store_url(store)) as (url, pid):
            worker = Worker(url)
            worker.be_there()
            yield worker, pid

    def load(self, **values: Any) -> Load:
        return Load(connections=self.options.connections, seconds=self.options.seconds, **values)

    def row(self, name: str, side: str, **figures: float | None) -> None:
        """Keep a row, and show it."""
        self.rows.append({"what": name, "side": side, **figures})
        shown = "  ".join(f"{key} {_short(one)}" for key, one in figures.items())
        print(f"{name:<18} {side:<8} {shown}", flush=True)

    def in_turns(self, name: str, sides: dict[str, Load], before: Callable[[], None]) -> None:
        """Each round measures every side; the first is what the others are compared with."""
        rates: dict[str, list[float]] = {side: [] for side in sides}
        medians: dict[str, list[float]] = {side: [] for side in sides}
        order = list(sides)
        for number in range(self.options.rounds):
            for side in order if number % 2 == 0 else reversed(order):
                before()
                measured = put_load(sides[side])
                rates[side].append(measured["per_s"])
                medians[side].append(measured["median_ms"])
        for side in sides:
            pairs = zip(rates[side], rates[order[0]], strict=True)
            self.row(
                name,
                side,
                per_s=statistics.median(rates[side]),
                ratio=statistics.median(one / bare for one, bare in pairs),
                median_ms=statistics.median(medians[side]),
            )


def _short(figure: float | None) -> str:
    if figure is None:
        return "-"
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}"


def measure_polls_and_starts(bench: Bench, parts: list[str]) -> None:
    """Status polls of an ended command in both encodings, and starts, on each store."""
    with ExitStack() as hosts:
        workers: dict[str, Worker] = {}
        ids: dict[str, str] = {}
        for store in bench.options.stores:
            worker, _ = hosts.enter_context(bench.host(store))
            ids[store] = worker.start()
            worker.complete(REPLY)
            workers[store] = worker
        first = bench.options.stores[0]
        status = workers[first].status(ids[first])
        bare = hosts.enter_context(bare_process(bench.folder(), status))

        def be_there() -> None:
            for worker in workers.values():
                worker.be_there()

        def sides(path: str, bare_path: str, kind: str, body: Callable[[str], str]) -> Any:
            loads = {"bare": bench.load(urls=[bare], path=bare_path, content_type=kind)}
            for store, worker in workers.items():
                loads[store] = bench.load(urls=[worker.url], path=path, content_type=kind)
            return {
                side: Load(**{**asdict(one), "body": body(ids.get(side, ids[first]))})
                for side, one in loads.items()
            }

        if "polls" in parts:
            form = sides(STATUS, "/form", FORM, lambda one: f"commandId={one}&moduleId=Bench")
            bench.in_turns("poll, form", form, be_there)
            as_json = sides(STATUS, "/json", JSON, lambda one: json.dumps({"commandId": one}))
            bench.in_turns("poll, JSON", as_json, be_there)
        if "starts" in parts:
            starts = sides(TELL, "/form", FORM, lambda _: START_BODY)
            bench.in_turns("start, form", starts, be_there)


def measure_two_hosts(bench: Bench) -> None:
    """Status polls spread over two hosts on one Redis, against one host."""
    with bench.host("redis") as (one, _), bench.host("redis") as (two, _):
        command_id = one.start()
        one.complete(REPLY)
        body = f"commandId={command_id}&moduleId=Bench"
        sides = {
            "one": bench.load(urls=[one.url], path=STATUS, body=body),
            "two": bench.load(urls=[one.url, two.url], path=STATUS, body=body),
        }
        bench.in_turns("poll, Redis hosts", sides, lambda: None)


def measure_depth(bench: Bench) -> None:
    """Memory of 10,000 queued commands, and what a poll costs at that depth."""
    for store in bench.options.stores:
        with bench.host(store) as (worker, pid):
            shallow = [worker.start() for _ in range(10)][-1]
            process = psutil.Process(pid)
            before_mb = process.memory_info().rss / 2**20
            deep_load = Load(urls=[worker.url], path=TELL, body=START_BODY, count=10_000)
            put_load(deep_load)
            grown_mb = process.memory_info().rss / 2**20 - before_mb
            deep = worker.start()
            sides = {
                "at 10": bench.load(urls=[worker.url], path=STATUS, body=f"commandId={shallow}"),
                "at 10000": bench.load(urls=[worker.url], path=STATUS, body=f"commandId={deep}"),
            }
            bench.row("10,000 queued", store, grown_mb=grown_mb)
            bench.in_turns(f"poll, {store}", sides, worker.be_there)


def measure_readers(bench: Bench) -> None:
    """CPU of the host while 1,000 readers wait on 1,000 commands."""
    for store in bench.options.stores:
        with bench.host(store) as (worker, pid), ExitStack() as readers:
            ids = [worker.start() for _ in range(1000)]
            idle = _cpu_percent(pid)
            for command_id in ids:
                readers.enter_context(_reader(worker.url, command_id))
            time.sleep(1)
            bench.row("1,000 readers", store, idle_cpu=idle, waiting_cpu=_cpu_percent(pid))


def _cpu_percent(pid: int, seconds: float = 5.0) -> float:
    """Of one core, over a while."""
    process = psutil.Process(pid)
    before, begun_s = process.cpu_times(), time.perf_counter()
    time.sleep(seconds)
    after = process.cpu_times()
    used_s = after.user + after.system - before.user - before.system
    return 100 * used_s / (time.perf_counter() - begun_s)


@contextmanager
def _reader(url: str, command_id: str) -> Iterator[None]:
    """A status poll that waits for 30 s."""
    address = urlsplit(url)
    body = f"commandId={command_id}&offset=0&wait=30"
    with socket.create_connection((address.hostname or "", address.port or 80)) as connection:
        connection.sendall(
            f"POST {STATUS} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: {FORM}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ["polls", "starts", "hosts", "depth", "readers"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--stores", nargs="+", default=["memory", "local", "redis"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one measurement")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--json", type=Path, default=Path("bench-host.json"))
    options = parser.parse_args()
    with ExitStack() as stack:
        bench = Bench(options, stack)
        if {"polls", "starts"} & set(options.parts):
            measure_polls_and_starts(bench, options.parts)
        if "hosts" in options.parts:
            measure_two_hosts(bench)
        if "depth" in options.parts:
            measure_depth(bench)
        if "readers" in options.parts:
            measure_readers(bench)
    settings = {key: str(value) for key, value in vars(options).items()}
    rows = {"settings": settings, "cores": os.cpu_count(), "rows": bench.rows}
    options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
