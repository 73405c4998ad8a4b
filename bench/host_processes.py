"""The processes of bench/host.py: hosts, the bare server, Redis; each is ended with the block."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
READY_WITHIN_S = 30.0

MODULE = {
    "Name": "Bench",
    "LaunchSettings": {
        "AutoStart": False,
        "FilePath": "bench.py",
        "Queue": "bench_queue",
        "MaxQueueLength": 10_000_000,
    },
    "RouteMaps": [{"Name": "Tell", "Route": "bench/tell", "Command": "tell", "LongProcess": True}],
}


class Worker:
    """The module's side of a host, played by hand: it is there, and works when told to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._query = "moduleId=Bench&instanceId=bench1"

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One request; its JSON. Raises urllib.error.HTTPError."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
            text = response.read()
        return dict(json.loads(text)) if text else {}

    def be_there(self) -> None:
        """A sign of life: the host takes commands for 45 s."""
        self.call("GET", f"/v1/queue/bench_queue?{self._query}_idle&protocol=2&wait=0")

    def start(self) -> str:
        reply = self.call("POST", "/v1/bench/tell", {"prompt": "How long is this?"})
        return str(reply["commandId"])

    def complete(self, text: str) -> None:
        """Take the next command and end it with `text`."""
        path = f"/v1/queue/bench_queue?{self._query}&protocol=2&wait=5"
        work = self.call("GET", path)
        item = {"commandId": work["reqid"], "attempt": work["attempt"], "offset": 0, "text": text}
        result = {"success": True, "processMs": 1, "inferenceMs": 1, "stop_reason": "completed"}
        item["result"] = result
        path = "/v1/modules/Bench/progress?instanceId=bench1"
        self.call("POST", path, {"commands": [item]})

    def status(self, command_id: str) -> dict[str, Any]:
        return self.call("POST", "/v1/Bench/get_command_status", {"commandId": command_id})


@contextmanager
def host_process(folder: Path, store: str) -> Iterator[tuple[str, int]]:
    """A host over a deployment of its own in `folder`: its url and process id."""
    module = folder / "modules" / "Bench"
    module.mkdir(parents=True)
    (module / "modulesettings.json").write_text(json.dumps({"Modules": {"Bench": MODULE}}))
    (module / "bench.py").write_text("")
    server = {"Port": 0, "Store": store, "DataDir": str(folder / "data"), "StoreMaxMB": 8192}
    (folder / "modulesettings.json").write_text(json.dumps({"Server": server}))
    command = [sys.executable, "-m", "host", "serve", "--root", str(folder)]
    with running(command) as (process, line):
        while "Explorer:" not in line:
            line = next_line(process)
        yield line.split()[-1].rstrip("/"), process.pid


@contextmanager
def bare_process(folder: Path, answer: dict[str, Any]) -> Iterator[str]:
    """The bare aiohttp server that gives `answer`: its url."""
    file = folder / "answer.json"
    file.write_text(json.dumps(answer))
    command = [sys.executable, str(ROOT / "bench" / "bare_server.py"), str(file)]
    with running(command) as (_, line):
        yield line.strip()


@contextmanager
def redis_process(folder: Path) -> Iterator[str]:
    """A redis-server with its append-only file: its url. Raises SystemExit where there is none."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise SystemExit("bench/host.py: expected redis-server or valkey-server, found none")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [program, "--port", str(port), "--dir", str(folder), "--save", ""]
    command += ["--appendonly", "yes", "--bind", "127.0.0.1"]
    with running(command) as (process, line):
        while "eady to accept connections" not in line:
            line = next_line(process)
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def running(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process and its first line."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield process, next_line(process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        assert process.stdout is not None  # noqa: S101
        process.stdout.close()


def next_line(process: subprocess.Popen[str]) -> str:
    """The next line that it prints. Raises SystemExit when it ends, or says nothing more."""
    assert process.stdout is not None  # noqa: S101
    deadline = time.monotonic() + READY_WITHIN_S
    line = process.stdout.readline()
    if not line or time.monotonic() > deadline:
        raise SystemExit(f"bench/host.py: {process.args!r} ended before it was ready")
    return line
