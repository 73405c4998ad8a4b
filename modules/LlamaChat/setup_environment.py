"""Make a virtual environment that runs this module: llama-cpp-python for the machine, and the rest.

    python setup_environment.py                     .venv in the module's folder
    python setup_environment.py --project FOLDER    .venv for the whole project there

Invariant: a run that fails leaves no stamp, so the next one goes on; a run with nothing to do takes
seconds. Only the standard library is used. Exit status: 0 done, 1 not done (with the remedy).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import llama_build
from llama_build import CPU, LLAMA_CPP_PYTHON, Build

MODULE_PATH = Path(__file__).resolve().parent
OLDEST_PYTHON = (3, 10)
STAMP_FILE = "installed.txt"
BACKEND_FILE = "backend.txt"
LOG_FILE = "install.log"
_SHOWN_LOG_LINES = 15


class SetupError(Exception):
    """Something did not work: what, and what to do."""


@dataclass(frozen=True)
class Target:
    """What to set up, and where."""

    folder: Path
    is_project: bool
    is_dev: bool = False

    @property
    def venv(self) -> Path:
        return self.folder / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def watched_files(self) -> list[Path]:
        """What the environment is made from: a change of these makes it out of date."""
        own = [MODULE_PATH / name for name in ("requirements.txt", "llama_build.py")]
        return [*own, self.folder / "pyproject.toml"] if self.is_project else own

    @property
    def packages(self) -> list[str]:
        """Arguments for pip, llama-cpp-python left out."""
        requirements = ["-r", str(MODULE_PATH / "requirements.txt")]
        if not self.is_project:
            return requirements
        return [*requirements, "-e", f"{self.folder}[dev]" if self.is_dev else str(self.folder)]


def set_up(target: Target, build: Build) -> None:
    """Make the environment, or find it made. Raises SetupError."""
    if _is_up_to_date(target, build):
        _say("Everything is installed already.")
        return
    _make_venv(target)
    _forget(target)
    _install_llama(target, build)
    _say("Installing the other packages ...")
    _pip(target, "install", *target.packages)
    (target.venv / STAMP_FILE).write_text(_stamp(target, build), encoding="utf-8")


def _stamp(target: Target, build: Build) -> str:
    """What the environment is made from, as one line; `dev` is known by its own part."""
    digest = hashlib.sha256()
    for path in target.watched_files:
        digest.update(path.read_bytes())
    return f"{digest.hexdigest()} {build.backend} {build.wheels}{' dev' if target.is_dev else ''}"


def _is_up_to_date(target: Target, build: Build) -> bool:
    try:
        stamp = (target.venv / STAMP_FILE).read_text(encoding="utf-8")
    except OSError:
        return False
    # An environment with the developers' packages serves users too.
    is_same = stamp.removesuffix(" dev") == _stamp(target, build) or stamp == _stamp(target, build)
    return is_same and _runs(target, "import aiohttp, llama_cpp")


def _forget(target: Target) -> None:
    (target.venv / STAMP_FILE).unlink(missing_ok=True)


def _make_venv(target: Target) -> None:
    if _runs(target, f"import sys, pip; sys.exit(sys.version_info < {OLDEST_PYTHON})"):
        return
    _say(f"Making {target.venv} with Python {sys.version.split()[0]} ...")
    command = [sys.executable, "-m", "venv", "--clear", str(target.venv)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode != 0:
        raise SetupError(
            f"Python could not make a virtual environment:\n{result.stdout}{result.stderr}\n"
            "On Debian and Ubuntu: sudo apt install python3-venv"
        )


def _runs(target: Target, code: str) -> bool:
    if not target.python.exists():
        return False
    command = [str(target.python), "-c", code]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603


def _install_llama(target: Target, build: Build) -> None:
    """The build for this machine; the CPU's, where that one cannot be had."""
    if _has_llama(target, build):
        return
    _say(f"llama-cpp-python for {build.backend}: {build.why}.")
    if not (_install_wheel(target, build) or _install_from_source(target, build)):
        _say("Going on with the build for the CPU. Run this again when that is mended.")
        build = CPU
        if not (_install_wheel(target, build) or _install_from_source(target, build)):
            raise SetupError("llama-cpp-python could not be installed")
    (target.venv / BACKEND_FILE).write_text(build.wheels, encoding="utf-8")


def _has_llama(target: Target, build: Build) -> bool:
    name, version = LLAMA_CPP_PYTHON.split("==")
    code = f"import importlib.metadata as m, sys; sys.exit(m.version('{name}') != '{version}')"
    try:
        backend = (target.venv / BACKEND_FILE).read_text(encoding="utf-8")
    except OSError:
        backend = CPU.wheels  # put there by pip itself
    return backend == build.wheels and _runs(target, code)


def _install_wheel(target: Target, build: Build) -> bool:
    """A prebuilt wheel, where the index is reachable and has one for this system."""
    if not llama_build.is_reachable(f"{build.index_url}/"):
        _say("The index of prebuilt wheels cannot be reached.")
        return False
    _say(f"Fetching a prebuilt wheel from {build.index_url} ...")
    arguments = ["--only-binary", "llama-cpp-python", "--extra-index-url", build.index_url]
    try:
        _pip(target, "install", "--force-reinstall", "--no-deps", *arguments, LLAMA_CPP_PYTHON)
        _pip(target, "install", LLAMA_CPP_PYTHON)
    except SetupError:
        _say("There is no prebuilt wheel for this system.")
        return False
    return True


def _install_from_source(target: Target, build: Build) -> bool:
    """Compile, or take what an earlier compilation left in pip's cache."""
    is_cached = build is CPU and _is_in_pip_cache(target)
    if is_cached:
        _say("Taking llama-cpp-python from pip's cache ...")
    elif not _can_compile(build):
        return False
    arguments = ["--force-reinstall", "--no-deps"]
    environment = None
    if build is not CPU:
        # pip's cache does not know one build from another.
        arguments.append("--no-cache-dir")
        environment = {**os.environ, "CMAKE_ARGS": build.cmake_args}
    try:
        _pip(target, "install", *arguments, LLAMA_CPP_PYTHON, environment=environment)
        _pip(target, "install", LLAMA_CPP_PYTHON)
    except SetupError as ex:
        if build is CPU:
            raise
        _say(str(ex))
        return False
    return True


def _can_compile(build: Build) -> bool:
    missing = llama_build.missing_tools(build)
    if missing:
        text = f"It cannot be built from source: {' and '.join(missing)} missing"
        if build is CPU:
            raise SetupError(f"{text}. {llama_build.remedy_for_compiler()}")
        _say(f"{text}.")
        return False
    minutes = llama_build.build_minutes(os.cpu_count() or 1)
    least = "" if build is CPU else "at least "
    _say(f"Building it from source: this takes {least}about {minutes} minutes, once ...")
    return True


def _is_in_pip_cache(target: Target) -> bool:
    command = [str(target.python), "-m", "pip", "cache", "list", "llama_cpp_python"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return LLAMA_CPP_PYTHON.split("==")[1] in result.stdout


def _pip(target: Target, *arguments: str, environment: dict[str, str] | None = None) -> None:
    """Run pip quietly; its output goes to a file, and the end of it into the error."""
    command = [str(target.python), "-m", "pip", "--disable-pip-version-check", *arguments]
    log = target.venv / LOG_FILE
    with log.open("w", encoding="utf-8") as output:
        result = subprocess.run(  # noqa: S603
            command, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False
        )
    if result.returncode != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        end = "\n".join(f"  {line}" for line in lines[-_SHOWN_LOG_LINES:])
        raise SetupError(
            f"pip {' '.join(arguments)} failed:\n{end}\nThe whole output is in {log}. Check the "
            "network and the free disk space, then run this again: it goes on where it stopped"
        )


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    folder = options.project.resolve() if options.project else MODULE_PATH
    target = Target(folder, is_project=options.project is not None, is_dev=options.dev)
    try:
        build = llama_build.choose_build(options.backend)
        if options.dry_run:
            _say(f"Would set up {target.venv} with llama-cpp-python for {build.backend}")
            _say(f"({build.why}; wheels: {build.index_url}).")
            return 0
        set_up(target, build)
        return _fetch_model(target, options.model) if options.model else 0
    except (SetupError, ValueError) as ex:
        sys.stderr.write(f"{ex}.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped. Run this again to go on.\n")
        return 130


def _fetch_model(target: Target, name: str) -> int:
    command = [str(target.python), str(MODULE_PATH / "model_download.py"), name]
    result = subprocess.run(command, check=False).returncode  # noqa: S603
    if result == 1:
        _say("Everything else is installed, and the built-in model works.")
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="install", description="Set up what is needed here.")
    parser.add_argument("--project", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--dev", action="store_true", help="also what the tests need")
    parser.add_argument("--model", metavar="NAME", help="also fetch this model, and use it")
    parser.add_argument(
        "--backend", choices=llama_build.BACKENDS, default="auto", help="what to run models on"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    return parser


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
