"""Prove that this environment's llama.cpp works on this machine, and remember it.

    python build_proof.py            the proof there is; made first where none fits
    python build_proof.py --again    make it anew
    python build_proof.py --look     only look at what there is, whatever it was made for
    python build_proof.py --json     as one line of JSON

A child process loads the guide and has it answer, once with the prompt in small batches and once in
one, on each kind of device that will be used. The answer is known: a build that dies, hangs or says
something else is not to be trusted with any model.

Invariant: a proof counts for one processor, one build and one version of llama-cpp-python; whatever
of these changes, it is made again. Only the standard library is needed, and llama_cpp in the child.
Exit status: 0 the build works, 1 it does not.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llama_setup.environment import Environment
from llama_setup.install_again import install_again
from llama_setup.processor import this_processor
from llama_setup.programs import signal_name
from model_files.catalogue import builtin_path

MODULE_PATH = Path(__file__).resolve().parent
PROOF_FILE = "build_proof.json"
TIMEOUT_S = 180.0
"""It takes a second; a machine that swaps or a GPU that compiles its kernels takes longer."""

MESSAGES = (
    ("user", "How do I install a bigger model?"),
    (
        "assistant",
        "Two commands are enough: `llamachat models` and `./install.sh --model NAME`. " * 6,
    ),
    ("user", "What can you do?"),
)
REPLY = "I'm the small guide that is built into LlamaChat, and I can answer questions about"
"""How the guide's greedy answer to these begins."""
REPLY_TOKENS = 24
_REPAIR = f"{install_again()}: it proves the build, and replaces one that does not work"
BATCHES = (32, 512)
"""Tokens of a batch, in the two ways the prompt is evaluated."""


@dataclass(frozen=True)
class Proof:
    """What was found out."""

    ok: bool
    fingerprint: str
    processor: str
    flags: str = ""
    """How llama.cpp was compiled; empty for a build that somebody else made."""
    systemInfo: str = ""
    """llama.cpp's own words on what it was compiled with."""
    devices: list[str] = field(default_factory=list)
    seconds: float = 0.0
    reason: str = ""
    remedy: str = ""

    @property
    def is_current(self) -> bool:
        """Whether it counts for the processor and the build that are here now."""
        return self.fingerprint == fingerprint()

    def as_json(self) -> str:
        return json.dumps({**asdict(self), "isCurrent": self.is_current})


def kept_proof(environment: Path | None = None) -> Proof | None:
    """The last proof that was made in this environment; None where there is none."""
    try:
        content = json.loads((_folder(environment) / PROOF_FILE).read_text(encoding="utf-8"))
        return Proof(**content)
    except (OSError, ValueError, TypeError):
        return None


def current_proof(environment: Path | None = None) -> Proof | None:
    """The last proof, if it is current."""
    proof = kept_proof(environment)
    return proof if proof is not None and proof.is_current else None


def why_broken(proof: Proof | None) -> str:
    """What a proof says against its build; empty where it says nothing against it."""
    if proof is None or proof.ok:
        return ""
    return f"this build of llama.cpp fails its proof here: {proof.reason}"


def prove(environment: Path | None = None) -> Proof:
    """Make the proof, and keep it where that can be written."""
    began = time.monotonic()
    found: dict[str, Any] = {}
    reason = ""
    for on_gpu in (False, True):
        answer = _ask_child(builtin_path(MODULE_PATH), on_gpu)
        reason = answer.pop("reason", "")
        found |= {name: value for name, value in answer.items() if name != "device"}
        if "device" in answer:
            found.setdefault("devices", []).append(answer["device"])
        if reason or not answer.get("hasGpu"):
            break
    found.pop("hasGpu", None)
    proof = Proof(
        ok=not reason,
        fingerprint=fingerprint(),
        processor=str(this_processor()),
        flags=str(Environment(_folder(environment)).build().get("flags", "")),
        seconds=round(time.monotonic() - began, 2),
        reason=reason,
        remedy=_remedy(reason),
        **found,
    )
    _keep(proof, environment)
    return proof


def fingerprint() -> str:
    """What a proof counts for: the processor, the version, and the libraries as they lie there."""
    digest = hashlib.sha256(this_processor().key.encode())
    for part in _build_parts():
        digest.update(part.encode())
    return digest.hexdigest()[:16]


def _build_parts() -> Iterator[str]:
    try:
        yield importlib.metadata.version("llama-cpp-python")
    except importlib.metadata.PackageNotFoundError:
        yield "none"
    yield os.environ.get("LLAMA_CPP_LIB_PATH", "")
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        return
    for file in sorted((Path(spec.origin).parent / "lib").glob("*")):
        status = file.stat()
        yield f"{file.name} {status.st_size} {status.st_mtime_ns}"


def _folder(environment: Path | None) -> Path:
    return environment or Path(sys.prefix)


def _keep(proof: Proof, environment: Path | None) -> None:
    path = _folder(environment) / PROOF_FILE
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        draft.write_text(json.dumps(asdict(proof), indent=2) + "\n", encoding="utf-8")
        os.replace(draft, path)
    except OSError:
        draft.unlink(missing_ok=True)  # an environment of the system's: it is proven each time


def _remedy(reason: str) -> str:
    if not reason:
        return ""
    if "cannot open shared object" in reason or "could not be loaded" in reason:
        return (
            "A library that this build needs is missing: install the GPU's runtime (for CUDA its "
            "toolkit's libraries), or install with --backend cpu"
        )
    return _REPAIR


def _ask_child(guide: Path, on_gpu: bool) -> dict[str, Any]:
    """One device's answer, or `reason`."""
    if not guide.exists():
        return {"reason": f"there is no guide at {guide} to prove it with"}
    command = [sys.executable, str(Path(__file__).resolve()), "--child", str(guide)]
    command += ["--gpu"] if on_gpu else []
    try:
        result = subprocess.run(  # noqa: S603 - this file
            command, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return {"reason": f"it hung: no answer from the guide in {TIMEOUT_S:.0f} s"}
    try:
        last = result.stdout.decode("utf-8", errors="replace").splitlines()[-1]
        answer: dict[str, Any] = json.loads(last)
    except (IndexError, ValueError):
        answer = {}
    if result.returncode == 0 and answer:
        return answer
    said = result.stderr.decode("utf-8", errors="replace").strip().splitlines()
    return {**answer, "reason": _how_it_ended(result.returncode, said)}


def _how_it_ended(code: int, said: list[str]) -> str:
    if code >= 0 and said:
        return said[-1]
    if code >= 0:
        return f"the guide's answer ended with exit code {code}"
    return f"killed by {signal_name(-code)} while the guide answered"


def _child(guide: Path, on_gpu: bool) -> dict[str, Any]:
    """In the child process: the guide's answers, compared."""
    try:
        import llama_cpp
    except (ImportError, OSError, RuntimeError) as ex:
        return {"reason": f"llama-cpp-python could not be loaded: {ex}"}
    info = llama_cpp.llama_print_system_info().decode("utf-8", errors="replace").strip()
    has_gpu = bool(llama_cpp.llama_supports_gpu_offload())
    device = "GPU" if on_gpu else "CPU"
    facts: dict[str, Any] = {"systemInfo": info, "hasGpu": has_gpu, "device": device}
    for batch_tokens in BATCHES:
        reply = _reply(guide, batch_tokens, -1 if on_gpu else 0)
        if not reply.startswith(REPLY):
            said = f"nonsense on the {device}: expected '{REPLY}', got '{reply[:200]}'"
            return {**facts, "reason": said}
    return facts


def _reply(guide: Path, batch_tokens: int, gpu_layers: int) -> str:
    from llama_cpp import Llama

    model = Llama(
        str(guide), n_ctx=512, n_batch=batch_tokens, n_ubatch=batch_tokens,
        n_gpu_layers=gpu_layers, verbose=False,
    )  # fmt: skip
    messages: Any = [{"role": role, "content": content} for role, content in MESSAGES]
    answer: Any = model.create_chat_completion(messages, temperature=0.0, max_tokens=REPLY_TOKENS)
    return str(answer["choices"][0]["message"]["content"])


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.child is not None:
        sys.stdout.write(json.dumps(_child(options.child, options.gpu)) + "\n")
        return 0
    proof = _wanted_proof(options)
    sys.stdout.write((proof.as_json() if options.json else as_text(proof)) + "\n")
    return 0 if proof.ok and proof.is_current else 1


def _wanted_proof(options: argparse.Namespace) -> Proof:
    if options.look:
        nothing = Proof(False, "", "", reason="nothing is proven yet", remedy=_REPAIR)
        return kept_proof() or nothing
    return (None if options.again else current_proof()) or prove()


def as_text(proof: Proof) -> str:
    """For people."""
    if proof.ok and not proof.is_current:
        return f"What was proven was another processor or build: {proof.processor}.\n{_REPAIR}."
    if not proof.ok:
        return f"This build of llama.cpp does not work here: {proof.reason}.\n{proof.remedy}."
    devices = " and ".join(proof.devices)
    return (
        f"llama.cpp works here: the guide answered as it should on the {devices}, in "
        f"{proof.seconds:.1f} s.\n{proof.processor}\n{proof.systemInfo}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Prove that llama.cpp works on this machine.")
    parser.add_argument("--again", action="store_true", help="make the proof anew")
    parser.add_argument("--look", action="store_true", help="only look, make nothing")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--gpu", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
