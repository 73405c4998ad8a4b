"""LlamaChat from its package, unpacked elsewhere, on a host that speaks part 1 only."""

from __future__ import annotations

import asyncio
import sys
import zipfile
from pathlib import Path

from chat import ROOT
from part1_host import Part1Host

from host.cli.packaging import package_module

ADAPTER = "llama_chat_adapter.py"


async def test_two_commands_status_and_cancel_on_another_host(
    tmp_path: Path, slow_model: Path
) -> None:
    package = package_module(ROOT / "modules" / "LlamaChat", tmp_path / "out")
    folder = tmp_path / "elsewhere" / "LlamaChat"
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    assert (folder / "sdk").is_dir() and (folder / "models" / "guide.gguf").is_file()

    async with Part1Host("LlamaChat") as host:
        environment = host.environment(
            folder,
            CPAI_MODULE_LLAMA_MODEL_DIR=str(slow_model.parent),
            CPAI_MODULE_LLAMA_MODEL_FILENAME=slow_model.name,
            GOMP_SPINCOUNT="1000",  # as the module's settings have it
            PYTHONPATH="",  # nothing of this project but what was packed
        )
        module = await asyncio.create_subprocess_exec(
            sys.executable, str(folder / ADAPTER), cwd=folder, env=environment
        )
        try:
            first = await host.post("prompt", prompt="Tell me", max_tokens=4000)
            second = await host.post("prompt", prompt="Tell me more", max_tokens=8)
            assert first["success"] and second["success"]
            assert first["commandId"] != second["commandId"]
            growing = await host.status_when(first["commandId"], lambda one: bool(one["reply"]))
            assert growing["commandStatus"] == "running"
            ended = await host.end_of(second["commandId"])  # beside the first, which goes on
            assert ended["success"] and ended["completionTokens"] == 8 and ended["reply"]

            assert (await host.cancel(first["commandId"]))["success"]
            stopped = await host.end_of(first["commandId"])
            assert stopped["success"] and stopped["stop_reason"] == "cancelled"
            assert stopped["reply"].startswith(growing["reply"])

            await host.quit()
            assert await asyncio.wait_for(module.wait(), 5) == 0
        finally:
            if module.returncode is None:
                module.kill()
                await module.wait()
