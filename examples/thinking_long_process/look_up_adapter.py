"""A long process in three channels: it thinks, calls a tool, and answers."""

import json
import time
from typing import Any

from sdk import LongProcess, ModuleRunner, RequestData, RunningCommand

LENGTHS_M = {"aare": 288_000, "rhine": 1_230_000}


class LookUp(ModuleRunner):
    """What it puts out follows from its inputs alone, so that a test can tell what it must be."""

    def process(self, data: RequestData) -> LongProcess:
        data.get_int("delay_ms", 20, minimum=0)
        return LongProcess(self.look_up)

    def look_up(self, data: RequestData, command: RunningCommand) -> dict[str, Any] | None:
        river = data.get_value("river", "Aare") or ""
        arguments = json.dumps({"river": river})
        length_m = LENGTHS_M.get(river.lower())
        steps: list[tuple[str, dict[str, Any]]] = [
            (
                f"The question is about the {river}. A table has its length. ",
                {"channel": "reasoning"},
            ),
            (arguments, {"channel": "tool_calls", "index": 0, "name": "length_of"}),
            (f"The table says {length_m} metres. ", {"channel": "reasoning"}),
            (f"The {river} is {length_m} metres long." if length_m else "I do not know.", {}),
        ]
        for text, place in steps:
            for start in range(0, len(text), 3):  # as a model would, bit by bit
                if command.is_cancelled:
                    return None
                command.append(text[start : start + 3], **place)
                time.sleep(data.get_int("delay_ms", 20) / 1000)
        return None


if __name__ == "__main__":
    LookUp().start_loop()
