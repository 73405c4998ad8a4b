"""What one client can do to the others: the worst latency of their polls while it does its worst.

    python bench/abuse.py --json bench-abuse.json

The abuser is a process of its own, with an address of its own (127.0.0.2). Another client polls a
command that runs, a hundred times a second, and its module lives on. A row has the worst and the
99th percentile of what the polls took, before and meanwhile, the host's memory, what the abuser was
answered, and whether the command was still its module's afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from abuses import ABUSES, Abuse
from host_processes import Worker, host_process

ABUSER = "127.0.0.2"
EVERY_S = 0.01
QUIET_S = 3.0
MEANWHILE_S = 3.0  # at least
MOST_S = 240.0


async def _send(url: str, abuse: Abuse, stop: asyncio.Event, answers: Counter[str]) -> None:
    """One connection, or as many as the host closes: its requests, again and again."""
    place = urlsplit(url)
    while not stop.is_set():
        try:
            reader, writer = await asyncio.open_connection(
                place.hostname, place.port, local_addr=(ABUSER, 0)
            )
            try:
                await abuse(place.netloc, reader, writer, answers)
            finally:
                writer.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            answers[type(error).__name__] += 1
            await asyncio.sleep(0.05)
        if not abuse.is_repeated:
            return


def abuse_from_here(url: str, name: str, seconds: float, told: Any) -> None:
    """In the abuser's process: say what was answered, and when it is over."""

    async def run() -> dict[str, int]:
        abuse, stop, answers = ABUSES[name], asyncio.Event(), Counter[str]()
        await abuse.prepare(url)
        jobs = [_send(url, abuse, stop, answers) for _ in range(abuse.connections)]
        tasks = [asyncio.create_task(job) for job in jobs]
        await asyncio.sleep(seconds)
        stop.set()
        await asyncio.wait(tasks, timeout=abuse.patience_s)
        answers["unanswered"] += sum(not task.done() for task in tasks)
        return dict(+answers)

    told.put(asyncio.run(run()))


class Polls:
    """Another client's, over one connection."""

    def __init__(self, url: str, command_id: str) -> None:
        self._place = urlsplit(url)
        head = f"GET /v1/commands/{command_id} HTTP/1.1\r\nHost: {self._place.netloc}\r\n\r\n"
        self._request = head.encode()

    async def until(self, is_over: Any, at_least_s: float) -> list[float]:
        """Poll until then; how many milliseconds each took, from when it was due."""
        reader, writer = await asyncio.open_connection(self._place.hostname, self._place.port)
        took_ms, begun_s = [], time.perf_counter()
        while not is_over() or time.perf_counter() - begun_s < at_least_s:
            due_s = time.perf_counter()
            writer.write(self._request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
            took_ms.append(1000 * (time.perf_counter() - due_s))
            await asyncio.sleep(EVERY_S)
        writer.close()
        return took_ms


class Chat:
    """A command that runs, and its module, which says every half second that it lives."""

    def __init__(self, url: str) -> None:
        self._worker = Worker(url)
        self._worker.be_there()
        self.command_id = self._worker.start()
        path = "/v1/queue/bench_queue?moduleId=Bench&instanceId=bench1&protocol=2&wait=5"
        self._work = self._worker.call("GET", path)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def _report(self, **more: Any) -> bool:
        item = {"commandId": self._work["reqid"], "attempt": self._work["attempt"], "offset": 0}
        path = "/v1/modules/Bench/progress?instanceId=bench1"
        reply = self._worker.call("POST", path, {"commands": [{**item, **more}]})
        return bool(reply["commands"][0]["accepted"])

    def _live(self) -> None:
        while not self._ended.wait(0.5):
            try:
                self._report()
            except OSError:  # as a module does: it tries again
                continue

    def has_ended_well(self) -> bool:
        self._ended.set()
        self._thread.join()
        return self._report(text="done", result={"success": True})


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-abuse-") as folder,
        host_process(Path(folder), options.store) as (url, pid),
    ):
        chat, process = Chat(url), psutil.Process(pid)
        polls, told = Polls(url, chat.command_id), multiprocessing.Queue()
        usual_ms = asyncio.run(polls.until(lambda: True, QUIET_S))
        before_mb, most_mb = process.memory_info().rss / 2**20, 0.0
        job = (url, name, options.seconds, told)
        abuser = multiprocessing.Process(target=abuse_from_here, args=job, daemon=True)
        abuser.start()
        deadline_s = time.monotonic() + MOST_S

        def is_over() -> bool:
            nonlocal most_mb
            most_mb = max(most_mb, process.memory_info().rss / 2**20)
            return not abuser.is_alive() or time.monotonic() > deadline_s

        abused_ms = asyncio.run(polls.until(is_over, MEANWHILE_S))
        answers = {} if told.empty() else told.get()
        abuser.terminate()
        return {
            "abuse": name,
            "usual_worst_ms": max(usual_ms),
            "worst_ms": max(abused_ms),
            "p99_ms": sorted(abused_ms)[int(0.99 * (len(abused_ms) - 1))],
            "before_mb": before_mb,
            "most_mb": most_mb,
            "after_mb": process.memory_info().rss / 2**20,
            "answers": answers,
            "command_went_on": chat.has_ended_well(),
        }


def shown(row: dict[str, Any]) -> str:
    memory = f"{row['before_mb']:.0f} / {row['most_mb']:.0f} / {row['after_mb']:.0f}"
    latency = f"{row['usual_worst_ms']:8.1f} {row['p99_ms']:8.1f} {row['worst_ms']:9.1f}"
    went_on = "went on" if row["command_went_on"] else "FAILED"
    return f"{row['abuse']:<12} {latency}  {memory:<18} {went_on:<8} {row['answers']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--abuses", nargs="+", choices=list(ABUSES), default=list(ABUSES))
    parser.add_argument("--seconds", type=float, default=5.0, help="of each")
    parser.add_argument("--store", default="local")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"{'abuse':<12} {'usual ms':>8} {'99 % ms':>8} {'worst ms':>9}  MB before/most/after")
    rows = []
    for name in options.abuses:
        rows.append(measure(name, options))
        print(shown(rows[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
