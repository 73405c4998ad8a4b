"""Compile llama-cpp-python into a wheel.

Invariant: a compilation that was stopped goes on where it stopped: its folder in the cache keeps
the source, the tools and what was compiled, and goes when the wheel is there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_setup.builds import LLAMA_CPP_PYTHON
from llama_setup.locks import locked
from llama_setup.programs import run_logged, say
from llama_setup.progress import CompileProgress
from llama_setup.recipes import Recipe
from llama_setup.setup_error import SetupError
from llama_setup.wheel_cache import WheelCache

_BACKEND = "scikit-build-core[pyproject]>=0.10"
_LEAST_CMAKE = (3, 21)
_SAFELY: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
_NO_SOURCE = (
    "The source of llama-cpp-python could not be fetched. Check the network and the free disk "
    "space (1 GB is enough), then run this again"
)
_NO_BUILD = (
    "llama.cpp did not compile. Run this again with --verbose to see every line; with less memory "
    "than 4 GB, with CMAKE_BUILD_PARALLEL_LEVEL=1 before it"
)


@dataclass(frozen=True)
class Compilation:
    """One recipe's compilation under the cache's `folder`."""

    recipe: Recipe
    key: str
    folder: Path
    is_verbose: bool = False

    @property
    def place(self) -> Path:
        return self.folder / "build" / self.key

    def wheel(self, cache: WheelCache) -> Path:
        """Compile, or take what is there. Returns the wheel in the cache. Raises SetupError."""
        with locked(self.folder / "build" / f"{self.key}.lock"):
            found = cache.find(self.key)
            if found is None:
                found = cache.put(self.key, self._compile())
                shutil.rmtree(self.place, ignore_errors=True)
            return found

    def _compile(self) -> Path:
        if (self.place / "objects").is_dir():
            say("Going on where the last compilation stopped.")
        self.place.mkdir(parents=True, exist_ok=True)
        python = self._tools()
        source = self._source(python)
        progress = CompileProgress()
        wheels = self.place / "wheel"
        shutil.rmtree(wheels, ignore_errors=True)
        environment = self._environment(python)
        command = [
            *_pip(python), "wheel", "-v", "--no-deps", "--no-build-isolation", "--no-cache-dir",
            "--wheel-dir", str(wheels), str(source),
        ]  # fmt: skip
        try:
            run_logged(
                command,
                self.folder / "compile.log",
                _NO_BUILD,
                environment=environment,
                on_line=None if self.is_verbose else progress.feed,
                is_verbose=self.is_verbose,
            )
        finally:
            progress.close()
        return next(wheels.glob("*.whl"))

    def _environment(self, python: Path) -> dict[str, str]:
        environment = self.recipe.environment(os.environ)
        environment["PATH"] = f"{python.parent}{os.pathsep}{environment.get('PATH', '')}"
        environment["SKBUILD_BUILD_DIR"] = str(self.place / "objects")
        return environment

    def _tools(self) -> Path:
        """An environment with what compiling needs besides a compiler; its Python."""
        folder = self.place / "tools"
        python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        if (folder / "made").exists():
            return python
        command = [sys.executable, "-m", "venv", "--clear", str(folder)]
        log = self.folder / "compile.log"
        run_logged(command, log, "On Debian and Ubuntu: sudo apt install python3-venv")
        tools = [_BACKEND, "ninja", *([] if _has_cmake() else ["cmake>=3.21"])]
        run_logged([*_pip(python), "install", *tools], log, _NO_SOURCE, is_verbose=self.is_verbose)
        (folder / "made").touch()
        return python

    def _source(self, python: Path) -> Path:
        """The unpacked source."""
        folder = self.place / "source"
        if folder.is_dir():
            return folder
        archive = self._archive(python)
        draft = self.place / "source.tmp"
        shutil.rmtree(draft, ignore_errors=True)
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(draft, **_SAFELY)  # noqa: S202 - the published source
            os.replace(next(draft.iterdir()), folder)
        except (OSError, tarfile.TarError, StopIteration) as ex:
            archive.unlink(missing_ok=True)
            raise SetupError(_NO_SOURCE, str(ex)) from ex
        shutil.rmtree(draft, ignore_errors=True)
        return folder

    def _archive(self, python: Path) -> Path:
        """The source as it is published, kept for other recipes."""
        name, version = LLAMA_CPP_PYTHON.split("==")
        folder = self.folder / "sources" / version
        found = next(folder.glob("*.tar.gz"), None) if folder.is_dir() else None
        if found is not None:
            return found
        say("Fetching the source of llama.cpp (about 80 MB) ...")
        draft = self.place / "archive.tmp"
        shutil.rmtree(draft, ignore_errors=True)
        command = [
            *_pip(python), "download", "--no-deps", "--no-build-isolation", "--no-binary", name,
            "--dest", str(draft), LLAMA_CPP_PYTHON,
        ]  # fmt: skip
        log = self.folder / "compile.log"
        environment = self._environment(python)
        run_logged(command, log, _NO_SOURCE, environment=environment, is_verbose=self.is_verbose)
        archive = next(draft.glob("*.tar.gz"))
        folder.mkdir(parents=True, exist_ok=True)
        os.replace(archive, folder / archive.name)
        shutil.rmtree(draft, ignore_errors=True)
        return folder / archive.name


def _pip(python: Path) -> list[str]:
    return [str(python), "-m", "pip", "--disable-pip-version-check"]


def _has_cmake() -> bool:
    """Whether there is a CMake that is new enough."""
    path = shutil.which("cmake")
    if path is None:
        return False
    try:
        result = subprocess.run(  # noqa: S603 - a fixed program
            [path, "--version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    found = re.search(r"version (\d+)\.(\d+)", result.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= _LEAST_CMAKE
