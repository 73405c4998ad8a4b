"""Make a virtual environment that runs this module: a proven llama.cpp, and the rest.

    python setup_environment.py                     .venv in the module's folder
    python setup_environment.py --venv FOLDER       the same in that folder
    python setup_environment.py --project FOLDER    .venv for the whole project there

Invariant: a run that fails leaves no stamp, so the next one goes on; a run with nothing to do takes
seconds, and proves what is there if the processor or the build has changed. Only the standard
library is used. Exit status: 0 done, 1 not done (with the remedy), 130 stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from llama_setup import builds
from llama_setup.environment import Environment
from llama_setup.ladder import Ladder, Wish
from llama_setup.programs import say
from llama_setup.setup_error import SetupError
from llama_setup.wheel_cache import WheelCache, cache_folder

MODULE_PATH = Path(__file__).resolve().parent
STAMP_FILE = "installed.txt"


def set_up(environment: Environment, wish: Wish) -> None:
    """Make the environment, or find it made. Raises SetupError."""
    is_made = _is_up_to_date(environment)
    if not is_made:
        environment.make()
        (environment.venv / STAMP_FILE).unlink(missing_ok=True)
    is_new = Ladder(environment, wish).install()
    if is_made:
        say("Everything else is there." if is_new else "Everything is installed already.")
        return
    say("Installing the other packages ...")
    environment.pip("install", *environment.packages)
    (environment.venv / STAMP_FILE).write_text(_stamp(environment), encoding="utf-8")


def _stamp(environment: Environment) -> str:
    """What the packages are made from, as one line; `dev` is known by its own part."""
    digest = hashlib.sha256()
    for path in environment.watched_files:
        digest.update(path.read_bytes())
    return f"{digest.hexdigest()}{' dev' if environment.is_dev else ''}"


def _is_up_to_date(environment: Environment) -> bool:
    try:
        stamp = (environment.venv / STAMP_FILE).read_text(encoding="utf-8")
    except OSError:
        return False
    # An environment with the developers' packages serves users too.
    is_same = _stamp(environment) in (stamp, stamp.removesuffix(" dev"))
    return is_same and environment.runs("import aiohttp")


def uninstall(environment: Environment) -> None:
    """Take away what an installation made. What people made stays, and is named."""
    for folder in (environment.venv, cache_folder()):
        if folder.is_dir():
            shutil.rmtree(folder)
            say(f"Removed {folder}")
    models = MODULE_PATH / "models"
    if models.is_dir():
        say(f"Downloaded models stay in {models}: delete them by hand if you like.")
    say("Kept commands and logs stay in your data folder; docs/store.md says where that is.")


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    environment = _environment(options)
    try:
        if options.uninstall:
            uninstall(environment)
            return 0
        build = builds.choose_build(options.backend)
        if options.dry_run:
            say(f"Would set up {environment.venv} with llama-cpp-python for {build.backend}")
            say(f"({build.why}; wheels: {build.index_url}).")
            return 0
        if options.again:
            WheelCache(cache_folder()).forget_failures()
        set_up(environment, Wish(build, options.compile, options.images))
        return _fetch_model(environment, options.model) if options.model else 0
    except SetupError as ex:
        sys.stderr.write(f"\nNot installed. {ex}\n")
        sys.stderr.write(f"What else may be in the way: python3 {MODULE_PATH / 'doctor.py'}\n")
        return 1
    except ValueError as ex:
        sys.stderr.write(f"{ex}.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped. Run this again: it goes on where it stopped.\n")
        return 130


def _environment(options: argparse.Namespace) -> Environment:
    project = options.project.resolve() if options.project else None
    venv = options.venv.absolute() if options.venv else (project or MODULE_PATH) / ".venv"
    return Environment(venv, project, options.dev, options.verbose)


def _fetch_model(environment: Environment, name: str) -> int:
    command = [str(environment.python), str(MODULE_PATH / "model_download.py"), name]
    result = subprocess.run(command, check=False).returncode  # noqa: S603
    if result == 1:
        say("Everything else is installed, and the built-in model works.")
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="install", description="Set up what is needed here.")
    parser.add_argument("--project", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--venv", type=Path, metavar="FOLDER", help="the environment's folder")
    parser.add_argument("--dev", action="store_true", help="also what the tests need")
    parser.add_argument("--model", metavar="NAME", help="also fetch this model, and use it")
    parser.add_argument(
        "--backend", choices=builds.BACKENDS, default="auto", help="what to run models on"
    )
    parser.add_argument(
        "--compile", action="store_true", help="compile for this processor, whatever is ready-made"
    )
    parser.add_argument("--images", action="store_true", help="compile llama.cpp's multimodal part")
    parser.add_argument("--again", action="store_true", help="try builds that failed here before")
    parser.add_argument("--verbose", action="store_true", help="show all that pip and CMake say")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--uninstall", action="store_true", help="remove what was installed")
    return parser


if __name__ == "__main__":
    sys.exit(main())
