"""A module that misbehaves on demand, run as a process: the first argument says how."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from typing import Any

from sdk import LongProcess, ModuleRunner, RequestData, RunningCommand
from sdk.process import life

life.PARENT_POLL_S = 0.1


class Misbehaving(ModuleRunner):
    def initialise(self) -> None:
        if "no-start" in sys.argv:
            raise FileNotFoundError("no model")

    def process(self, data: RequestData) -> Any:
        if data.command == "block-loop":
            return LongProcess(self.block_loop)
        return LongProcess(getattr(self, data.command.replace("-", "_")))

    def obey(self, data: RequestData, command: RunningCommand) -> None:
        command.append("begun ")
        while not command.is_cancelled:
            time.sleep(0.005)
        command.append("ended")

    def get_stuck(self, data: RequestData, command: RunningCommand) -> None:
        command.append("begun ")
        threading.Event().wait()

    async def block_loop(self, data: RequestData, command: RunningCommand) -> None:
        command.append("begun ")
        while not command.is_cancelled:  # noqa: ASYNC110 - what an author would write
            await asyncio.sleep(0.005)
        while True:
            time.sleep(60)  # noqa: ASYNC251 - the misbehaviour

    def lose_heart(self, data: RequestData, command: RunningCommand) -> None:
        self.give_up("the device is lost")

    def die(self, data: RequestData, command: RunningCommand) -> None:
        os._exit(3)

    def selftest(self) -> Any:
        assert self._performing_self_test
        if "bad-selftest" in sys.argv:
            return {"success": False, "error": "two and two are five"}
        return None if "no-selftest" in sys.argv else {"success": True}

    def cleanup(self) -> None:
        sys.stderr.write("cleaned up\n")


if __name__ == "__main__":
    Misbehaving().start_loop()
