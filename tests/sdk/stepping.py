"""A module whose long commands a test leads, step by step."""

from __future__ import annotations

import threading
from typing import Any

from sdk import LongProcess, ModuleRunner, RequestData, RunningCommand


class Stepping(ModuleRunner):
    """Each command appends its own id, one digit at a time, for every permit."""

    def __init__(self, parallelism: int = 2) -> None:
        super().__init__()
        self.parallelism = parallelism
        self.permits = threading.Semaphore(0)

    def permit(self, count: int = 1) -> None:
        for _ in range(count):
            self.permits.release()

    def process(self, data: RequestData) -> LongProcess:
        return LongProcess(self.go)

    def go(self, data: RequestData, command: RunningCommand) -> dict[str, Any] | None:
        for step in range(data.get_int("steps", 1)):
            while not self.permits.acquire(timeout=0.01):
                if command.is_cancelled:
                    return None
            command.append(str(step))
        return {"note": "done"}
