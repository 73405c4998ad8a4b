"""A module that says what it was asked to say, and ends when a file is there."""

import time
from pathlib import Path
from typing import Any

from sdk import LongProcess, ModuleRunner, RequestData, RunningCommand

GO = Path("go")


class Patient(ModuleRunner):
    def process(self, data: RequestData) -> LongProcess:
        return LongProcess(self.wait)

    def wait(self, data: RequestData, command: RunningCommand) -> dict[str, Any]:
        command.append(data.get_value("say", "") or "")
        while not GO.exists() and not command.is_cancelled:
            time.sleep(0.01)
        if not command.is_cancelled:
            command.append("done")
        return {"success": True}


if __name__ == "__main__":
    Patient().start_loop()
