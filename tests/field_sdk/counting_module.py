"""A long-process module for the field's own SDK: it counts, and keeps one reply and one flag.

Not imported by the tests: it runs as a child process, in the environment that has that SDK.
"""

import threading
import time

from codeproject_ai_sdk import JSON, ModuleRunner, RequestData


class Counting(ModuleRunner):
    def initialise(self) -> None:
        self.reply_text = ""
        self.cancelled = False
        self.tick = threading.Event()

    def process(self, data: RequestData) -> JSON:
        if data.command == "echo":
            return {"success": True, "said": data.get_value("text")}
        return self.long_process

    def long_process(self, data: RequestData) -> JSON:
        self.reply_text = ""
        self.cancelled = False
        stop_reason = "completed"
        started = time.perf_counter()
        for number in range(data.get_int("numbers", 3)):
            if self.cancelled:
                stop_reason = "cancelled"
                break
            self.reply_text += f"{data.get_value('word')}{number} "
            self.tick.wait(data.get_float("pause_s", 0.05))
        elapsed_ms = int((time.perf_counter() - started) * 1000)
        return {
            "success": True,
            "reply": self.reply_text,
            "stop_reason": stop_reason,
            "processMs": elapsed_ms,
            "inferenceMs": elapsed_ms,
        }

    def command_status(self) -> JSON:
        return {"success": True, "reply": self.reply_text}

    def cancel_command_task(self) -> None:
        self.cancelled = True
        self.force_shutdown = False


if __name__ == "__main__":
    Counting().start_loop()
