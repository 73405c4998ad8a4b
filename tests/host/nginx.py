"""A real nginx before a host: with nothing but `proxy_pass`, or as deploy/nginx.conf has it."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis_server import self_signed

PROGRAM = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
DEPLOYED = Path(__file__).resolve().parents[2] / "deploy" / "nginx.conf"
NAME = "llama.example.org"

needs_nginx = pytest.mark.skipif(PROGRAM is None, reason="no nginx: apt install nginx-light")

_AROUND = """
{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    {inside}
}}
"""
_BARE = "server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {url}; }} }}"


def bare(port: int, url: str, folder: Path) -> str:
    """What people write first."""
    return _BARE.format(port=port, url=url)


def deployed(port: int, url: str, folder: Path) -> str:
    """The example, with this host in the place of its two, and a certificate made here."""
    key, certificate = self_signed(folder)
    text, host = DEPLOYED.read_text(encoding="utf-8"), url.removeprefix("http://")
    for old, new in (
        ("server 10.0.0.11:32168 max_fails=1 fail_timeout=5s;", f"server {host};"),
        ("    server 10.0.0.12:32168 max_fails=1 fail_timeout=5s;\n", ""),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        (f"/etc/ssl/{NAME}.pem", str(certificate)),
        (f"/etc/ssl/{NAME}.key", str(key)),
    ):
        assert old in text, old
        text = text.replace(old, new)
    return text


@asynccontextmanager
async def nginx(folder: Path, inside: str, port: int) -> AsyncIterator[None]:
    """It listens when this begins."""
    assert PROGRAM is not None
    config = folder / "nginx.conf"
    user = "user root;" if os.getuid() == 0 else ""  # who enters this folder
    config.write_text(_AROUND.format(user=user, folder=folder, inside=inside), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(config)
    )
    try:
        while not await _answers(port):
            assert process.returncode is None, (folder / "error.log").read_text()
            await asyncio.sleep(0.01)
        yield
    finally:
        process.terminate()
        await process.wait()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
