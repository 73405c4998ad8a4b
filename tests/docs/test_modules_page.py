"""docs/modules.md: each of its code blocks runs as it is printed."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from blocks import blocks
from puppet import Caller, running_host

import sdk
from host.cli.main import _parser
from host.web.explorer import parse_fragment
from sdk.testing import run_command

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "http://127.0.0.1:32168"
(
    SHOUT, SETTINGS, CURL, CHANNELS, DOCTOR, SAFE_MODE, ELSEWHERE, SELFTEST, TESTS, PUBLISHED,
    FRAGMENT,
) = blocks("modules.md")  # fmt: skip  # a further one wants its test here


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    """With the module of the page, its two files as they are printed."""
    (module_id,) = SETTINGS.value["Modules"]
    folder = tmp_path / "modules" / module_id
    folder.mkdir(parents=True)
    (folder / "modulesettings.json").write_text(SETTINGS.text, encoding="utf-8")
    program = SETTINGS.value["Modules"][module_id]["LaunchSettings"]["FilePath"]
    (folder / program).write_text(SHOUT.text, encoding="utf-8")
    (folder / "test_shout.py").write_text(TESTS.text, encoding="utf-8")
    server = {"Port": 0, "Store": "memory", "DataDir": "data"}
    (tmp_path / "modulesettings.json").write_text(json.dumps({"Server": server}), encoding="utf-8")
    return tmp_path


async def output(*command: str, **options: Any) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, **options
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


async def test_the_module_serves_the_curl(deployment: Path) -> None:
    async with running_host(deployment) as host, aiohttp.ClientSession() as session:
        command = CURL.commands[0].replace(ADDRESS, host.url)
        started = json.loads(await output(*shlex.split(command), "-s"))
        path, body = f"/v1/commands/{started['commandId']}", started
        while body["state"] in ("queued", "running"):
            body = (await Caller(session, host.url).call("GET", path, params={"wait": 20}))[1]
        assert (body["reply"], body["wordsWritten"]) == ("GOOD MORNING ", 2)


async def test_its_self_test_and_its_authors_tests(deployment: Path) -> None:
    arguments = shlex.split(SELFTEST.commands[0])[1:]
    await output(sys.executable, "-m", "host", *arguments, "--root", str(deployment), cwd=ROOT)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    folder = deployment / "modules" / "Shout"
    plain = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "2 passed" in await output(*plain, str(folder), cwd=folder, env=env)


def test_the_module_is_as_short_as_promised() -> None:
    assert len(SHOUT.text.splitlines()) <= 40


def test_what_goes_into_a_channel_of_its_own() -> None:
    command = sdk.RunningCommand("c1", lambda: None)
    exec(CHANNELS.text, {"command": command})  # noqa: S102  it is the page's own
    assert command.text == "" and not command.output.has_reply_alone
    pieces = [(one["channel"], one["text"]) for one in command.output.lacking({}, 100)]
    assert pieces == [("reasoning", "The table has it. "), ("tool_calls", '{"river": "Aare"}')]


def test_a_finding_of_a_doctor() -> None:
    assert set(DOCTOR.value) == {"check", "ok", "finding", "remedy"}


def test_what_a_module_says_in_safe_mode() -> None:
    names: dict[str, Any] = dict(vars(sdk))
    exec(SAFE_MODE.text, names)  # noqa: S102  it is the page's own
    assert set(names["module_status"](None)["safeMode"]) == {"gaveUp", "reason", "remedy"}


def test_the_command_for_another_machine() -> None:
    words = ELSEWHERE.commands[0].replace("[", "").replace("]", "").replace(" N", " 2")
    parsed = _parser().parse_args(shlex.split(words)[1:])
    assert (parsed.module, parsed.token, parsed.instances) == ("LlamaChat", "T", 2)


def test_the_published_style() -> None:
    class Model:
        def generate(self, prompt: str) -> list[str]:
            return [f"{word} " for word in prompt.split()]

    names: dict[str, Any] = dict(vars(sdk))
    exec(PUBLISHED.text, names)  # noqa: S102
    chat = names["Chat"]()
    chat.model = Model()
    ended = run_command(chat, {"prompt": "two words"})
    assert (ended.state, ended.text) == ("completed", "two words ")


def test_the_fragment_has_its_parts_and_names_the_modules_route() -> None:
    fragment = parse_fragment(FRAGMENT.text, "Shout")
    assert "#Shout_reply" in fragment.css and 'id="Shout_reply"' in fragment.html
    assert 'submitRequest("text", "shout"' in fragment.script
    (route,) = SETTINGS.value["Modules"]["Shout"]["RouteMaps"]
    assert route["Route"] == "text/shout"
