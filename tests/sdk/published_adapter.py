"""An adapter in the style published in the field: one reply, one flag, statuses without an id.

It writes a word for every permit that a test gives it.
"""

from __future__ import annotations

import threading
from typing import Any

from sdk import LogMethod, LogVerbosity, ModuleOptions, ModuleRunner, RequestData


class PublishedAdapter(ModuleRunner):
    def __init__(self) -> None:
        super().__init__()
        self.permits = threading.Semaphore(0)
        self.started: list[str] = []
        self.cancel_calls = 0

    def initialise(self) -> None:
        self.models_dir = ModuleOptions.getEnvVariable("TEST_MODEL_DIR", "./models")
        self.is_mac = self.system_info.os == "macOS" and self.system_info.cpu_arch == "arm64"
        if self.log_verbosity != LogVerbosity.Quiet:
            self.log(LogMethod.Info | LogMethod.Server, {"message": "up", "loglevel": "debug"})
        self.reply_text = ""
        self.cancelled = False

    def process(self, data: RequestData) -> Any:
        return self.long_process

    def long_process(self, data: RequestData) -> dict[str, Any]:
        word = data.get_value("word", "word")
        self.started.append(word)
        stop_reason = "completed"
        for _ in range(data.get_int("words", 1)):
            while not self.permits.acquire(timeout=0.01) and not self.cancelled:
                pass
            if self.cancelled:
                self.cancelled = False
                stop_reason = "cancelled"
                break
            self.reply_text += f"{word} "
        return {"success": True, "reply": self.reply_text, "stop_reason": stop_reason}

    def command_status(self) -> dict[str, Any]:
        return {"success": True, "reply": self.reply_text}

    def cancel_command_task(self) -> None:
        self.cancel_calls += 1
        self.cancelled = True
        self.force_shutdown = False

    def permit(self, count: int = 1) -> None:
        for _ in range(count):
            self.permits.release()
