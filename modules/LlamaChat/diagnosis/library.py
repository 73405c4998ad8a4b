"""llama.cpp: is it there, does it load, and was it proven on this machine?

Invariant: the library is loaded in a child process only: a broken one ends that, not the doctor.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from llama_setup.environment import Environment
from llama_setup.install_again import install_again

from diagnosis.child import LookFailed, look
from diagnosis.finding import Finding, bad, good

LOAD_LIMIT_S = 60.0
PROOF_LIMIT_S = 60.0
INSTALL = install_again()
"""The command for it, as a sentence without its end."""

_ASK = """
import json, llama_cpp
print(json.dumps({
    "version": llama_cpp.__version__,
    "hasGpu": bool(llama_cpp.llama_supports_gpu_offload()),
}))
"""


@dataclass(frozen=True)
class Library:
    """What llama.cpp says of itself; `problem` is empty where it loads."""

    version: str = ""
    has_gpu: bool = False
    problem: str = ""

    @property
    def loads(self) -> bool:
        return not self.problem


def load_library(limit_s: float = LOAD_LIMIT_S) -> Library:
    """Load it, in a child."""
    try:
        said = look(["-c", _ASK], limit_s)
        return Library(str(said["version"]), bool(said["hasGpu"]))
    except LookFailed as error:
        return Library(problem=str(error))
    except KeyError as error:
        return Library(problem=f"it does not say its {error}")


def check_library(library: Library) -> Finding:
    if library.loads:
        kind = "for a GPU" if library.has_gpu else "for the CPU"
        return good("llama.cpp", f"llama-cpp-python {library.version}, built {kind}")
    return bad("llama.cpp", f"it does not load: {library.problem}", INSTALL)


def check_proof(program: Path, limit_s: float = PROOF_LIMIT_S) -> Finding:
    """Whether this build has answered rightly on this processor."""
    if not program.is_file():
        return bad("build proof", "this build is not proven yet", INSTALL)
    try:
        said = look([str(program), "--look", "--json"], limit_s)
    except LookFailed as error:
        return bad("build proof", f"{program.name}: {error}", INSTALL)
    remedy = str(said.get("remedy") or INSTALL)
    if not said.get("ok"):
        return bad("build proof", str(said.get("reason") or "the build failed its proof"), remedy)
    if not said.get("isCurrent"):
        text = f"it was made for another processor or build: {said.get('processor')}"
        return bad("build proof", text, remedy)
    return good("build proof", f"{said.get('processor', '')}, in {said.get('seconds', 0):.0f} s")


def wheel_kind() -> str:
    """What the environment's wheel was built for, such as `cu130`; empty where nothing says so."""
    wish = Environment(Path(sys.prefix)).build().get("wish")
    return str(wish.get("wheels", "")) if isinstance(wish, dict) else ""
