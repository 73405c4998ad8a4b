"""Modules as real child processes, for tests: launched as a host does, gone when the test is."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
END_S = 15.0


class ModuleProcess:
    """One module process; `end()` waits for it and gives exit code and stderr."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._stderr = asyncio.ensure_future(_read(process))

    @classmethod
    async def launch(
        cls, script: Path, environment: Mapping[str, str], *arguments: str
    ) -> ModuleProcess:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(script),
            *arguments,
            cwd=script.parent,
            env=dict(environment),
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        return cls(process)

    async def end(self) -> tuple[int, str]:
        try:
            exit_code = await asyncio.wait_for(self.process.wait(), END_S)
        except asyncio.TimeoutError:
            await self.kill()
            raise AssertionError(f"still running; stderr: {await self._stderr}") from None
        return exit_code, await self._stderr

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._stderr


def environment(url: str, module_id: str, **more: str) -> dict[str, str]:
    """What our host gives to a module process."""
    return os.environ | {
        "CPAI_HOST_URL": url,
        "CPAI_MODULE_ID": module_id,
        "CPAI_MODULE_NAME": module_id,
        "CPAI_MODULE_QUEUENAME": f"{module_id.lower()}_queue",
        "CPAI_MODULE_SERVER_LAUNCHED": "true",
        "CPAI_MODULE_PARALLELISM": "2",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(ROOT),
        **more,
    }


async def _read(process: asyncio.subprocess.Process) -> str:
    return (await process.stderr.read()).decode() if process.stderr is not None else ""
