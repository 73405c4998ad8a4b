"""A long-process module to copy from: it writes numbered words, one after another."""

import time
from typing import Any

from sdk import LongProcess, ModuleRunner, RequestData, RunningCommand
from sdk.testing import run_command


class CountWords(ModuleRunner):
    """Its reply is a pure function of its inputs, so that a test can tell what it must be."""

    def process(self, data: RequestData) -> LongProcess:
        # Wrong input raises here and fails the command at once, naming the field.
        data.get_int("words", 10, minimum=1, maximum=1_000_000)
        data.get_int("delay_ms", 100, minimum=0)
        return LongProcess(self.count)

    def count(self, data: RequestData, command: RunningCommand) -> dict[str, Any]:
        words = data.get_int("words", 10)
        delay_s = data.get_int("delay_ms", 100) / 1000
        word = data.get_value("word", "word")
        started_s = time.monotonic()
        for number in range(1, words + 1):
            if command.is_cancelled:
                break
            command.append(f"{word}{number} ")
            command.set(wordsWritten=number)
            time.sleep(delay_s)
        return {"inferenceMs": round((time.monotonic() - started_s) * 1000)}

    def selftest(self) -> dict[str, Any]:
        ended = run_command(self, {"words": 2, "delay_ms": 0})
        return {"success": ended.text == "word1 word2 "}


if __name__ == "__main__":
    CountWords().start_loop()
