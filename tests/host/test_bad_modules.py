"""Modules that crash, hang, do not listen, flood or talk nonsense: each is handled, and said in
plain words in the status list and to whoever has a command there."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from puppet import Caller
from world import QUICK as LADDER

from host.app import Host
from host.processes.supervision import RestartPolicy, Timing
from host.settings import load_settings

pytestmark = pytest.mark.skipif(os.name != "posix", reason="about signals")

SCRIPT = Path(__file__).with_name("bad_module.py")
ROOT = Path(__file__).resolve().parents[2]
PATIENT = Timing(RestartPolicy(max_failures=2, first_pause_s=0.01), LADDER, look_every_s=0.05)
"""A busy machine is silent for a second too."""
QUICK = replace(PATIENT, silent_s=1.0)


class Bad(Caller):
    """A host with one bad module, and its client."""

    def __init__(self, session: aiohttp.ClientSession, host: Host) -> None:
        super().__init__(session, host.url)
        self.host = host

    async def module(self) -> dict[str, Any]:
        """What the status list says."""
        _, body = await self.call("GET", "/v1/module/list/status")
        [status] = body["statuses"]
        return dict(status)

    async def until(self, is_true: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        deadline_s = time.monotonic() + 30
        while not is_true(status := await self.module()):
            assert time.monotonic() < deadline_s, (status, self.entries())
            await asyncio.sleep(0.02)
        return status

    def entries(self) -> list[str]:
        return [item.entry for item in self.host.log.list(0, 2_000)]

    async def ended(self, command_id: str) -> dict[str, Any]:
        deadline_s = time.monotonic() + 30
        values = {"commandId": command_id, "wait": 5}
        while True:
            status = await self.post("/v1/Bad/get_command_status", values)
            if status["state"] not in ("queued", "running"):
                return status
            assert time.monotonic() < deadline_s, (status, self.entries())

    async def start(self, **values: str) -> str:
        return str((await self.post("/v1/bad/do", values))["commandId"])


def write(root: Path, how: str, **launch: Any) -> None:
    folder = root / "modules" / "Bad"
    folder.mkdir(parents=True)
    shutil.copy(SCRIPT, folder)
    module = {
        "Name": "Bad",
        "LaunchSettings": {"FilePath": SCRIPT.name, **launch},
        "EnvironmentVariables": {"HOW": how},
        "RouteMaps": [{"Route": "bad/do", "Command": "do", "LongProcess": True}],
    }
    settings = json.dumps({"Modules": {"Bad": module}})
    (folder / "modulesettings.json").write_text(settings, encoding="utf-8")
    own = json.dumps({"Server": {"Port": 0, "Store": "memory"}})
    (root / "modulesettings.json").write_text(own, encoding="utf-8")


@asynccontextmanager
async def running(
    root: Path, how: str, timing: Timing = PATIENT, **launch: Any
) -> AsyncIterator[Bad]:
    write(root, how, **launch)
    host = Host(load_settings(root), timing=timing)
    await host.start()
    try:
        async with aiohttp.ClientSession() as session:
            yield Bad(session, host)
    finally:
        await host.stop()


async def test_one_that_exits_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, "exits") as bad:
        status = await bad.until(lambda status: status["status"] == "Crashed")
        words = "crashed 2 times in a row; the last time: exit code 1; last lines: the device is"
        assert status["reason"].startswith(words)
        [instance] = status["instances"]
        assert instance["status"] == "Crashed" and instance["reason"] == status["reason"]
        code, body = await bad.call("POST", "/v1/bad/do")
        assert code == 503 and "the device is on fire" in body["error"]


async def test_last_words_that_quote_a_client(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They are in the log; nobody is told them, and nobody else hears of the command's id."""
    caplog.set_level(logging.DEBUG)
    async with running(tmp_path, "betrays") as bad:
        command_id = await bad.start(prompt="my-secret")
        busy = await bad.until(lambda status: status["statusData"].get("busy"))
        assert command_id not in json.dumps(busy)
        (tmp_path / "modules" / "Bad" / "die").touch()
        crashed = await bad.until(lambda status: status["status"] == "Crashed")
        ended = await bad.ended(command_id)
        code, refused = await bad.call("POST", "/v1/bad/do")
        assert code == 503 and "exit code 1" in refused["error"] and "exit code 1" in ended["error"]
        told = json.dumps([busy, crashed, refused])
        assert "my-secret" not in told + json.dumps(ended) and command_id not in told
        assert any("crashed: exit code 1; last lines" in one for one in bad.entries())
        assert command_id not in caplog.text + "".join(bad.entries())


async def test_one_that_never_speaks(tmp_path: Path) -> None:
    async with running(tmp_path, "never_speaks", MaxStartSecs=0.5) as bad:
        waiting = await bad.start()
        status = await bad.until(lambda status: status["status"] == "Crashed")
        words = "it lives but has not spoken since its launch 0.5 s ago (MaxStartSecs)"
        assert words in status["reason"]
        assert words in (await bad.ended(waiting))["error"]
        code, body = await bad.call("POST", "/v1/bad/do")
        assert code == 503 and words in body["error"]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("dies_in_its_test", "killed by SIGILL (signal 4): a build for another kind of CPU"),
        ("hangs_in_its_test", "its self-test has not ended within 0.5 s (MaxTestSecs)"),
    ],
)
async def test_one_that_serves_in_safe_mode_only(tmp_path: Path, how: str, words: str) -> None:
    async with running(tmp_path, how, MaxTestSecs=0.5) as bad:
        ended = await bad.ended(await bad.start())  # posted before anybody knew
        assert (ended["state"], ended["reply"]) == ("completed", "here I am")
        status = await bad.module()
        reason = f"its usual launch failed: {words}"
        told = {"gaveUp": ["speed"], "reason": reason, "remedy": "run ./mend.sh"}
        assert (status["status"], status["restarts"]) == ("Started", 1)
        assert status["safeMode"] == told == status["statusData"]["safeMode"]
        assert [one["safeMode"] for one in status["instances"]] == [told]
        assert f"started (safe mode): {reason}" in bad.entries()
        printed = await llamachat_status(bad.url)
        assert "Started (safe mode)" in printed and reason in printed and "./mend.sh" in printed
        await bad.host.supervisor.restart("Bad")
        await bad.until(lambda status: status["restarts"] == 2)  # anew in the usual way


async def llamachat_status(url: str) -> str:
    """What the command prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "host", "status", "--url", url),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return out.decode()


async def test_one_that_freezes(tmp_path: Path) -> None:
    async with running(tmp_path, "freezes", QUICK) as bad:
        command_id = await bad.start()
        words = "it lives but has not spoken for 1 s"
        assert (
            words in (await bad.until(lambda status: words in (status["reason"] or "")))["reason"]
        )
        ended = await bad.ended(command_id)
        assert ended["state"] == "failed" and words in ended["error"]


async def test_one_that_claims_to_work_and_does_not(tmp_path: Path) -> None:
    async with running(tmp_path, "stalls", MaxSilentSecs=0.5) as bad:
        ended = await bad.ended(await bad.start())
        words = "it claims to work but made no progress for 0.5 s (MaxSilentSecs)"
        assert words in ended["error"]
        assert any(words in entry for entry in bad.entries())


async def test_one_that_floods(tmp_path: Path) -> None:
    async with running(tmp_path, "floods") as bad:
        await bad.until(lambda _: any("lines of output left out" in e for e in bad.entries()))
        before = psutil.Process().memory_info().rss
        await asyncio.sleep(2)  # two seconds of flood
        assert psutil.Process().memory_info().rss - before < 50_000_000
        begin_s = time.monotonic()
        await bad.module()
        assert time.monotonic() - begin_s < 1
    assert len(bad.entries()) <= 2_000


async def test_one_that_answers_nonsense(tmp_path: Path) -> None:
    async with running(tmp_path, "answers_nonsense") as bad:
        ended = await bad.ended(await bad.start())
        assert ended["state"] == "failed"
        words = "body: expected a JSON object, got malformed JSON"
        assert f"module Bad gave an answer that cannot be used: {words}" in ended["error"]
        status = await bad.module()
        assert f"it sends what cannot be used as its answer: {words}" in status["reason"]
        assert any("it sends what cannot be used" in entry for entry in bad.entries())


async def test_one_that_talks_nonsense_everywhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, "talks_nonsense") as bad:
        ended = await bad.ended(await bad.start())
        words = "it sends what cannot be used as its progress, "
        assert words in ended["error"] and "times in a row: body: expected" in ended["error"]
        code, body = await bad.call("GET", "/v1/status/ping")
        assert code == 200 and body["success"]
    assert "the host failed" not in caplog.text
