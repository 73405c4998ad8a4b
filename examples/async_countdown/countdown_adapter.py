"""A long process that is a coroutine: it must not block, and a hundred of them share one thread."""

import asyncio
from typing import Any

from sdk import LongProcess, ModuleRunner, RequestData, RunningCommand
from sdk.testing import run_command_async


class Countdown(ModuleRunner):
    """Everything here runs on the SDK's event loop: await what takes time."""

    async def process(self, data: RequestData) -> LongProcess:
        return LongProcess(self.count_down)

    async def count_down(self, data: RequestData, command: RunningCommand) -> dict[str, Any]:
        pause_s = data.get_int("pause_ms", 100, minimum=0) / 1000
        for number in range(data.get_int("start", 3, minimum=0), -1, -1):
            if command.is_cancelled:
                break
            command.append(f"{number} ")
            await asyncio.sleep(pause_s)
        return {}

    async def selftest(self) -> dict[str, Any]:
        ended = await run_command_async(self, {"start": 2, "pause_ms": 0})
        return {"success": ended.text == "2 1 0 "}


if __name__ == "__main__":
    Countdown().start_loop()
