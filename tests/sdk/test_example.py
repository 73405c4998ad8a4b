"""The example module: its self-test, and its way through both kinds of host, from its own folder
with the SDK beside it, as a package puts it into another host."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fake_host import FakeHost
from part1_host import Part1Host
from processes import ROOT, ModuleProcess, environment

EXAMPLE = ROOT / "examples" / "minimal_long_process"
SCRIPT = "count_words_adapter.py"
MODULE_ID = "minimal_long_process"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / MODULE_ID
    shutil.copytree(EXAMPLE, folder)
    shutil.copytree(ROOT / "sdk", folder / "sdk", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
async def module_on_part1(package: Path) -> AsyncIterator[tuple[Part1Host, ModuleProcess]]:
    async with Part1Host(MODULE_ID) as host:
        env = host.environment(package, CPAI_MODULE_PARALLELISM="2")
        module = await ModuleProcess.launch(package / SCRIPT, env)
        yield host, module
        await module.kill()


def test_it_is_as_short_as_promised() -> None:
    assert len((EXAMPLE / SCRIPT).read_text().splitlines()) <= 40


async def test_selftest(package: Path) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("CPAI_")}
    module = await ModuleProcess.launch(package / SCRIPT, env, "--selftest")
    assert await module.end() == (0, "")


async def test_on_our_host(host: FakeHost) -> None:
    env = environment(host.url, MODULE_ID)
    module = await ModuleProcess.launch(EXAMPLE / SCRIPT, env)
    try:
        command = host.post(words=20, delay_ms=10, word="é😀")
        result = await host.finished(command)
        assert command.text == "".join(f"é😀{number} " for number in range(1, 21))
        assert command.fields == {"wordsWritten": 20} and len(command.lengths) >= 3
        assert result["stop_reason"] == "completed" and result["inferenceMs"] >= 200
    finally:
        await module.kill()


async def test_on_a_part_1_host(module_on_part1: tuple[Part1Host, ModuleProcess]) -> None:
    host, module = module_on_part1
    first = (await host.post("count-words", words=100_000, delay_ms=5))["commandId"]
    second = (await host.post("count-words", words=3, delay_ms=0, word="x"))["commandId"]
    assert (await host.end_of(second))["reply"] == "x1 x2 x3 "
    status = await host.status_when(first, lambda status: len(status["reply"]) > 20)
    assert status["commandStatus"] == "running"
    assert (await host.cancel(first))["success"] is True
    status = await host.end_of(first)
    assert status["stop_reason"] == "cancelled" and status["reply"].startswith("word1 word2 ")
    wrong = await host.post("count-words", words="many")
    assert wrong["success"] is False and wrong["error"].startswith("words: expected a whole number")
    assert (await host.quit())["success"] is True
    exit_code, stderr = await module.end()
    assert exit_code == 0, stderr


async def test_a_part_1_host_sees_the_reply_alone(tmp_path: Path) -> None:
    """The example that thinks and calls a tool, on a host that knows nothing of channels."""
    folder = tmp_path / "thinking_long_process"
    shutil.copytree(ROOT / "examples" / folder.name, folder)
    async with Part1Host(folder.name) as host:
        module = await ModuleProcess.launch(folder / "look_up_adapter.py", host.environment(folder))
        try:
            started = await host.post("look-up", river="Aare", delay_ms=0)
            status = await host.end_of(started["commandId"])
            assert status["reply"] == "The Aare is 288000 metres long."
            assert not {"reasoning", "toolCalls", "pieces"} & set(status)
        finally:
            await module.kill()
