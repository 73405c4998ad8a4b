"""The real host with its real modules, as a child process: what a user's browser talks to."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

ROOT_PATH = Path(__file__).parents[2]


class RealHost:
    """`llamachat serve` on a free port, with the built-in model."""

    def __init__(self, folder: Path) -> None:
        modules = [str(ROOT_PATH / "modules")]
        server = {"Port": 0, "ModuleFolders": modules, "DataDir": "data"}
        (folder / "modulesettings.json").write_text(
            json.dumps({"Server": server}), encoding="utf-8"
        )
        self._serve(folder)

    def _serve(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "host", "serve", "--root", str(folder)],
            cwd=ROOT_PATH,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "Explorer:" in line:
                self.base_url = line.split()[1].rstrip("/")
                return
        raise AssertionError("the host ended before it said its address")

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()

    def get(self, path: str) -> Any:
        """The host's JSON for a path."""
        with urllib.request.urlopen(self.base_url + path) as response:  # noqa: S310 - loopback
            return json.load(response)

    def requests(self) -> int:
        """How many commands LlamaChat has ended."""
        return int(self.get("/v1/module/list/status")["statuses"][0]["requestCount"])
