"""A real redis-server of a test's own: a free port or a socket, files in a temporary folder."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NAMES = [name for name in ("redis-server", "valkey-server") if shutil.which(name)]
START_S = 20.0
MISSING = (
    "no redis-server or valkey-server on the PATH: apt install redis-server, or valkey-server "
    "(Debian 13, or bookworm-backports)"
)

# For a fixture: the first that is here runs each test, the second `pytest -m slow` alone.
PROGRAMS = [
    pytest.param(name, marks=[pytest.mark.slow] if place else [])
    for place, name in enumerate(NAMES)
] or [pytest.param("", marks=pytest.mark.skip(reason=MISSING))]


class RedisServer:
    """Started and stopped at will; what it was told survives in its append-only file."""

    def __init__(
        self, folder: Path, *options: str, program: str = "", config: Path | None = None
    ) -> None:
        if not NAMES:
            pytest.skip(MISSING)
        self._program = program or NAMES[0]
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = _free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._config = [] if config is None else [str(config)]
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        with open(self.folder / "redis.log", "ab") as log:
            self._process = subprocess.Popen(
                [
                    *(
                        self._program,
                        *self._config,
                        "--port",
                        str(self.port),
                        "--bind",
                        "127.0.0.1",
                    ),
                    *("--dir", str(self.folder), "--save", "", "--appendonly", "yes"),
                    *("--appendfsync", "always", *self._options),
                ],
                stdout=log,
                stderr=log,
            )
        self._until_it_answers()

    def _until_it_answers(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self._process is not None and self._process.poll() is None, self.said()
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as link:
                    link.sendall(b"PING\r\n")
                    if link.recv(100)[:5] in (b"+PONG", b"-NOAU"):
                        return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"redis-server does not answer:\n{self.said()}")

    def stop(self) -> None:
        """As an operator would: it ends in order."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_S)
            self._process = None

    def kill(self) -> None:
        """As the kernel would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_S)
            self._process = None

    def pause(self) -> None:
        """Make it answer nobody, without hanging up."""
        self._signal("STOP")

    def go_on(self) -> None:
        """Let it answer again."""
        self._signal("CONT")

    def _signal(self, name: str) -> None:
        assert self._process is not None
        subprocess.run(["kill", f"-{name}", str(self._process.pid)], check=True)

    def said(self) -> str:
        """The end of its log."""
        return (self.folder / "redis.log").read_text(errors="replace")[-3000:]


@contextmanager
def redis_server(
    folder: Path, *options: str, program: str = "", config: Path | None = None
) -> Iterator[RedisServer]:
    """A running server, gone afterwards. `options` count more than what `config` says."""
    server = RedisServer(folder, *options, program=program, config=config)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A key, and a certificate for 127.0.0.1 that nobody knows."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*request, *files], check=True, capture_output=True)
    return key, certificate


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
