"""A model hub on loopback: the few requests that a download makes of the real one.

It can break off in the middle, hold a download half way, send wrong bytes, and it keeps what was
asked of it.
"""

from __future__ import annotations

import hashlib
import json
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeHub:
    """Serves `files` of the repository `repo`, over TLS if given how. Use as a context manager."""

    def __init__(
        self, repo: str, files: dict[str, bytes], tls: ssl.SSLContext | None = None
    ) -> None:
        self.repo = repo
        self.files = files
        self.announced_sha256: dict[str, str] = {}
        """Other checksums than the true ones."""
        self.break_after_bytes: int | None = None
        """Close the connection after so many bytes of a body, and answer 500 from then on."""
        self.hold_after_bytes: int | None = None
        """Send so many bytes of a body, then wait for `release`."""
        self.release = threading.Event()
        self.requests: list[tuple[str, str, str | None]] = []
        """(method, path, Range header) of each request."""
        self.is_broken = False
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self})
        )
        self._server.daemon_threads = True
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> FakeHub:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    @property
    def ranges(self) -> list[str]:
        """The Range headers that came."""
        return [header for _, _, header in self.requests if header]

    def mend(self) -> None:
        self.is_broken = False
        self.break_after_bytes = None
        self.hold_after_bytes = None
        self.release.set()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub  # set by the subclass that each hub makes

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _answer(self, with_body: bool) -> None:
        self.hub.requests.append((self.command, self.path, self.headers.get("Range")))
        if self.hub.is_broken and with_body:
            self._send(500, b"")
        elif self.path.startswith("/api/models/"):
            self._list_files()
        elif self.path.startswith(f"/{self.hub.repo}/resolve/main/"):
            self._send_file(self.path.rsplit("/", 1)[1], with_body)
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})

    def _list_files(self) -> None:
        if self.path != f"/api/models/{self.hub.repo}":
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
            return
        siblings = [{"rfilename": name} for name in self.hub.files]
        body = json.dumps({"id": self.hub.repo, "siblings": siblings}).encode()
        self._send(200, body, {"Content-Type": "application/json"})

    def _send_file(self, name: str, with_body: bool) -> None:
        content = self.hub.files.get(name)
        if content is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        sha256 = self.hub.announced_sha256.get(name) or hashlib.sha256(content).hexdigest()
        headers = {"ETag": f'"{sha256}"', "X-Repo-Commit": "0" * 40, "Accept-Ranges": "bytes"}
        start = int((re.findall(r"bytes=(\d+)-", self.headers.get("Range") or "") or ["0"])[0])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(206 if start else 200, content[start:], headers, with_body)

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        with_body: bool = True,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body and status < 400 and self.path.startswith(f"/{self.hub.repo}/"):
            self._send_body(body)
        elif with_body:
            self.wfile.write(body)

    def _send_body(self, body: bytes) -> None:
        if self.hub.break_after_bytes is not None:
            self.hub.is_broken = True  # before the client can know
            self.wfile.write(body[: self.hub.break_after_bytes])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        if self.hub.hold_after_bytes is not None:
            self.wfile.write(body[: self.hub.hold_after_bytes])
            self.wfile.flush()
            self.hub.release.wait(60)
            self.close_connection = True
            return
        self.wfile.write(body)

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, ValueError):
            self.close_connection = True  # the other side went away, as tests make it do

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            self.close_connection = True
