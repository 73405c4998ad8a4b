"""A model behind a lock: four commands are worked on at once, and one at a time is in the model."""

import threading
from typing import Any

from sdk import LongProcess, ModuleRunner, RequestData, RunningCommand
from sdk.testing import run_command


class Model:
    """Stands for one that is not made to be called from several threads."""

    def __init__(self) -> None:
        self._is_busy = False

    def compute(self, word: str) -> str:
        if self._is_busy:
            raise RuntimeError("the model was called twice at once")
        self._is_busy = True
        result = "".join(reversed(word))
        self._is_busy = False
        return result


class OneModel(ModuleRunner):
    """Whoever has the lock uses the model, for one step: nobody waits for another's whole reply."""

    def initialise(self) -> None:
        self.model = Model()
        self.lock = threading.Lock()

    def process(self, data: RequestData) -> LongProcess:
        return LongProcess(self.reverse)

    def reverse(self, data: RequestData, command: RunningCommand) -> dict[str, Any]:
        words = data.get_value("text", "").split()
        for word in words:
            if command.is_cancelled:
                break
            with self.lock:
                reversed_word = self.model.compute(word)
            command.append(reversed_word + " ")
        return {"words": len(words)}

    def selftest(self) -> dict[str, Any]:
        return {"success": run_command(self, {"text": "ab cd"}).text == "ba dc "}


if __name__ == "__main__":
    OneModel().start_loop()
