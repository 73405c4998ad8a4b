"""The proof: the real build, and builds that die, hang, talk nonsense or do not load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import build_proof
import pytest
from build_proof import Proof, current_proof, kept_proof, prove

BROKEN = """
import os, signal, time
def llama_print_system_info(): return b"CPU : BROKEN = 1"
def llama_supports_gpu_offload(): return {has_gpu}
class Llama:
    def __init__(self, *_, n_gpu_layers=0, **__):
        self.on_gpu = bool(n_gpu_layers)
    def create_chat_completion(self, *_, **__):
        reply = {reply!r}
        {deed}
        return {{"choices": [{{"message": {{"content": reply}}}}]}}
"""


def broken_build(folder: Path, monkeypatch: pytest.MonkeyPatch, deed: str, **facts: object) -> None:
    """An environment whose llama_cpp does this when the guide is to answer."""
    package = folder / "site" / "llama_cpp"
    (package / "lib").mkdir(parents=True)
    values = {"has_gpu": False, "reply": "gibberish", **facts}
    (package / "__init__.py").write_text(BROKEN.format(deed=deed, **values))
    monkeypatch.setenv("PYTHONPATH", str(folder / "site"))


def test_this_build_works(tmp_path: Path) -> None:
    """The one that the tests run on; the guide is as the proof expects it."""
    proof = prove(tmp_path)
    assert proof.ok, proof.reason
    assert "CPU" in proof.devices
    assert " = 1" in proof.systemInfo
    assert current_proof(tmp_path) == proof


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("name", ["SIGSEGV", "SIGILL", "SIGABRT", "SIGFPE"])
def test_a_build_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    broken_build(tmp_path, monkeypatch, f"os.kill(os.getpid(), signal.{name})")
    proof = prove(tmp_path)
    assert not proof.ok
    assert proof.reason == f"killed by {name} while the guide answered"
    assert "./install.sh" in proof.remedy


def test_a_build_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_build(tmp_path, monkeypatch, "time.sleep(1000)")
    monkeypatch.setattr(build_proof, "TIMEOUT_S", 1.0)
    assert prove(tmp_path).reason.startswith("it hung")


def test_a_build_that_talks_nonsense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_build(tmp_path, monkeypatch, "pass")
    proof = prove(tmp_path)
    assert "nonsense on the CPU" in proof.reason
    assert "gibberish" in proof.reason


def test_a_gpu_that_talks_nonsense(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deed = "reply = 'gibberish' if self.on_gpu else reply"
    broken_build(tmp_path, monkeypatch, deed, has_gpu=True, reply=build_proof.REPLY)
    proof = prove(tmp_path)
    assert "nonsense on the GPU" in proof.reason
    assert proof.devices == ["CPU", "GPU"]


def test_a_library_that_does_not_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken_build(tmp_path, monkeypatch, "pass")
    text = "raise OSError('libcudart.so.12: cannot open shared object file')"
    (tmp_path / "site" / "llama_cpp" / "__init__.py").write_text(text)
    proof = prove(tmp_path)
    assert "libcudart.so.12" in proof.reason
    assert "install the GPU's runtime" in proof.remedy


def test_a_proof_counts_for_one_processor_and_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proof = prove(tmp_path)
    monkeypatch.setattr(build_proof, "fingerprint", lambda: "another")
    assert current_proof(tmp_path) is None
    assert kept_proof(tmp_path) == proof
    assert json.loads(proof.as_json())["isCurrent"] is False


def test_a_proof_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert kept_proof(tmp_path) is None
    (tmp_path / build_proof.PROOF_FILE).write_text("{}")
    assert kept_proof(tmp_path) is None


def test_the_command(chat_module: Path) -> None:
    """On the environment of these tests: a look, and the proof that fits."""
    script = str(chat_module / "build_proof.py")
    made = subprocess.run(
        [sys.executable, script, "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(made.stdout)["isCurrent"] is True
    looked = subprocess.run(
        [sys.executable, script, "--look"], capture_output=True, text=True, check=True
    )
    assert "llama.cpp works here" in looked.stdout


def test_what_is_said_of_a_failure() -> None:
    said = build_proof.as_text(Proof(False, "", "", reason="killed by SIGILL", remedy="Do that"))
    assert said == "This build of llama.cpp does not work here: killed by SIGILL.\nDo that."
