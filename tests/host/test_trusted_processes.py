"""Modules that know no token, on a host that asks for one: let in by their process, or not."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from puppet import Caller, running_host, write_root

from host.access.keys import KeyFile
from host.access.principal import Role
from host.app import Host

# As the field's SDK does it: no token, one poll after the other; it says what it was refused.
MODULE = """
import json, os, sys, time, urllib.error, urllib.request
base = f"http://127.0.0.1:{os.environ['CPAI_PORT']}/v1/queue/"
def ask(request):
    with urllib.request.urlopen(request) as reply:
        return json.loads(reply.read() or b"null")
while True:
    try:
        work = ask(base + "puppet_queue?moduleId=Puppet")
    except urllib.error.HTTPError as refused:
        print("refused:", refused.code, flush=True)
        sys.exit(1)
    if work:
        answer = json.dumps({"success": True, "answer": 42}).encode()
        ask(urllib.request.Request(base + work["reqid"] + "?moduleId=Puppet", answer))
"""
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {MODULE!r}])\n"


def root_of(folder: Path, code: str, **launch: Any) -> tuple[Path, dict[str, str]]:
    """A deployment whose module runs the code, and what one of its clients shows."""
    root = write_root(folder, {"AutoStart": True, **launch})
    (root / "modules" / "Puppet" / "puppet.py").write_text(code)
    shown = KeyFile(root / "data").add("anna", [Role.CHAT])[1]
    return root, {"Authorization": f"Bearer {shown}"}


async def stranger(host: Host) -> str:
    """What the same program says that nobody has launched."""
    env = {**os.environ, "CPAI_PORT": str(host.server.port)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MODULE, env=env, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return out.decode()


@pytest.mark.parametrize("code", [MODULE, PARENT], ids=["itself", "its child"])
async def test_what_this_host_launched_is_let_in(
    tmp_path: Path, session: aiohttp.ClientSession, code: str
) -> None:
    root, key = root_of(tmp_path, code, TrustProcess=True)
    async with running_host(root) as host:
        client = Caller(session, host.url)
        status, body = await client.call("POST", "/v1/text/talk", json={}, headers=key)
        assert status == 200 and body["answer"] == 42, body
        assert await stranger(host) == "refused: 401\n"
        path = "/v1/queue/puppet_queue?moduleId=Puppet&wait=0"
        assert (await client.call("GET", path))[0] == 401, "nor this test"


async def test_it_is_a_setting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root, _ = root_of(tmp_path, MODULE)
    async with running_host(root) as host:
        while not any(one.entry == "refused: 401" for one in host.log.list(0, 1000)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    said = [text for text in caplog.messages if "TrustProcess" in text]
    assert len(said) == 1 and "shows no token" in said[0]
