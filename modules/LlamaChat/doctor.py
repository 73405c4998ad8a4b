"""Look at everything that this module needs, and say what is wrong with it.

    python doctor.py           a line for each thing, the remedy under what is bad
    python doctor.py --json    a JSON object for each, as `llamachat doctor` reads them

Invariant: it needs nothing but the standard library to begin with, and whatever is broken, it goes
on to the next thing. Exit status: 0 all is good, 1 something is bad.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from diagnosis.finding import Finding, bad
from diagnosis.gpu import ask_driver, check_gpu
from diagnosis.hub_reach import check_hub
from diagnosis.library import INSTALL, check_library, check_proof, load_library, wheel_kind
from diagnosis.toolchain import check_compiler, check_processor, check_python
from llama_setup.processor import this_processor

MODULE_PATH = Path(__file__).resolve().parent
PROOF = MODULE_PATH / "build_proof.py"


def examine() -> Iterator[Finding]:
    """Everything, in the order in which to mend it."""
    library = load_library()
    driver = ask_driver()
    yield check_python()
    yield looked("processor", lambda: check_processor(this_processor()))
    yield looked("compiler", lambda: check_compiler(not library.loads))
    yield check_library(library)
    if library.loads:
        yield looked("build proof", lambda: check_proof(PROOF))
    yield looked("gpu", lambda: check_gpu(driver, library, wheel_kind(), os.environ))
    yield looked("model", _check_model)
    yield looked("hub", lambda: check_hub(_is_model_to_be_fetched(), os.environ))


def looked(name: str, look: Callable[[], Finding]) -> Finding:
    """The finding, whatever happens in it."""
    try:
        return look()
    except ImportError as error:
        return bad(name, f"{error.name} is not installed, or broken: {error}", INSTALL)
    except Exception as error:
        text = f"it could not be looked at: {type(error).__name__}: {error}"
        return bad(name, text, "mend what the error names; if it names nothing, report it")


def _check_model() -> Finding:
    from diagnosis.model_file import check_model
    from diagnosis.room import Room, room_for

    def room(weight_bytes: int) -> Room:
        return room_for(weight_bytes, MODULE_PATH, os.environ)

    return check_model(os.environ, MODULE_PATH, room)


def _is_model_to_be_fetched() -> bool:
    from diagnosis.model_file import is_to_be_fetched
    from llama_engine.load_errors import ModelLoadError
    from model_files.choice import choose_model

    try:
        return is_to_be_fetched(choose_model(os.environ, MODULE_PATH))
    except ModelLoadError:
        return False


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Look at everything that this module needs.")
    parser.add_argument("--json", action="store_true", help="the findings as JSON, one a line")
    options = parser.parse_args(arguments)
    is_good = True
    for finding in examine():
        sys.stdout.write((finding.as_json() if options.json else finding.as_text()) + "\n")
        sys.stdout.flush()
        is_good = is_good and finding.is_good
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
