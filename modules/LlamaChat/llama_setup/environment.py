"""The virtual environment that is set up, and pip in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_setup.programs import run_logged, say
from llama_setup.setup_error import SetupError

MODULE_PATH = Path(__file__).resolve().parents[1]
OLDEST_PYTHON = (3, 10)
BUILD_FILE = "llama_build.json"
LOG_FILE = "install.log"
_REMEDY = (
    "Check the network and the free disk space, then run this again: it goes on where it stopped"
)


@dataclass(frozen=True)
class Environment:
    """What to set up, and where. `project` is a checkout of the whole, or None for the module
    alone."""

    venv: Path
    project: Path | None = None
    is_dev: bool = False
    is_verbose: bool = False

    @property
    def python(self) -> Path:
        return self.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def watched_files(self) -> list[Path]:
        """What the environment is made from: a change of these makes it out of date."""
        own = [MODULE_PATH / "requirements.txt", *sorted(MODULE_PATH.glob("llama_setup/*.*"))]
        return own if self.project is None else [*own, self.project / "pyproject.toml"]

    @property
    def packages(self) -> list[str]:
        """Arguments for pip, llama-cpp-python left out."""
        requirements = ["-r", str(MODULE_PATH / "requirements.txt")]
        if self.project is None:
            return requirements
        # as it lies there: a copy would be an old one after the next `git pull`
        return [*requirements, "-e", f"{self.project}{'[dev]' if self.is_dev else ''}"]

    def make(self) -> None:
        """Make the virtual environment, unless it is there and whole. Raises SetupError."""
        if self.runs(f"import sys, pip; sys.exit(sys.version_info < {OLDEST_PYTHON})"):
            return
        say(f"Making {self.venv} with Python {sys.version.split()[0]} ...")
        command = [sys.executable, "-m", "venv", "--clear", str(self.venv)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if result.returncode != 0:
            raise SetupError(
                "Python could not make a virtual environment. On Debian and Ubuntu: sudo apt "
                "install python3-venv",
                result.stdout + result.stderr,
            )

    def runs(self, code: str) -> bool:
        """Whether a piece of Python runs there, to its good end."""
        if not self.python.exists():
            return False
        command = [str(self.python), "-c", code]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603

    def pip(self, *arguments: str, variables: Mapping[str, str] | None = None) -> None:
        """Run pip. Raises SetupError."""
        command = [str(self.python), "-m", "pip", "--disable-pip-version-check", *arguments]
        run_logged(
            command,
            self.venv / LOG_FILE,
            _REMEDY,
            environment=variables,
            is_verbose=self.is_verbose,
        )

    def build(self) -> dict[str, Any]:
        """How its llama.cpp came to be; empty where nobody wrote that down."""
        try:
            content = json.loads((self.venv / BUILD_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def write_build(self, build: Mapping[str, Any]) -> None:
        text = json.dumps(dict(build), indent=2) + "\n"
        (self.venv / BUILD_FILE).write_text(text, encoding="utf-8")
