"""An ordinary short command: its client waits for the answer, which is a dict."""

from typing import Any

from sdk import ModuleRunner, RequestData, RequestError
from sdk.testing import run_command


class Add(ModuleRunner):
    def process(self, data: RequestData) -> dict[str, Any]:
        return {"sum": _number(data, "a") + _number(data, "b")}

    def selftest(self) -> dict[str, Any]:
        return {"success": run_command(self, {"a": 1, "b": 2.5}).result["sum"] == 3.5}


def _number(data: RequestData, name: str) -> float:
    number = data.get_float(name)
    if number is None:
        raise RequestError(name, "a number", "nothing")
    return number


if __name__ == "__main__":
    Add().start_loop()
