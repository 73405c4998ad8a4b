"""The module's doctor: each of its looks with one thing broken, and all of it as a process."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from diagnosis.gpu import Card, Driver, ask_driver, check_gpu
from diagnosis.hub_reach import check_hub
from diagnosis.library import Library, check_library, check_proof, load_library, wheel_kind
from diagnosis.model_file import check_model, is_to_be_fetched
from diagnosis.room import Room, room_for
from diagnosis.toolchain import check_compiler, check_processor, check_python
from doctor import looked
from fake_hub import FakeHub
from llama_setup.environment import Environment
from llama_setup.processor import Processor
from model_files.source import ModelSource

CPU, GPU = Library("0.3.36"), Library("0.3.36", has_gpu=True)
CARD = Card("NVIDIA H200", "570.86", 143_771, 143_000, (9, 0))
PROVEN = {
    "ok": True,
    "isCurrent": True,
    "processor": "Xeon",
    "systemInfo": "AVX2",
    "flags": "-march=native",
    "seconds": 4.2,
    "reason": "",
    "remedy": "",
}


def run_doctor(module_path: Path, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The doctor in a process, as a host runs it: exit status, and the findings by name."""
    closed = {"HF_ENDPOINT": f"http://127.0.0.1:{closed_port()}"}
    done = subprocess.run(
        [sys.executable, str(module_path / "doctor.py"), "--json"],
        env={**os.environ, **closed, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert not done.stderr, done.stderr
    return done.returncode, {one["check"]: one for one in found}


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def package(folder: Path, code: str) -> str:
    """A llama_cpp that does that; the path to find it by."""
    (folder / "llama_cpp.py").write_text(code)
    return str(folder)


def program(folder: Path, code: str) -> Path:
    (folder / "build_proof.py").write_text(code)
    return folder / "build_proof.py"


# --- the whole


def test_a_healthy_machine_lacks_nothing_but_perhaps_the_proof(module_path: Path) -> None:
    _, found = run_doctor(module_path)
    names = "python processor compiler llama.cpp build proof gpu model hub"
    assert " ".join(found) == names
    assert [name for name, one in found.items() if not one["ok"]] in ([], ["build proof"])
    assert "guide.gguf" in found["model"]["finding"]
    assert "not reachable" in found["hub"]["finding"] and "fine unless" in found["hub"]["finding"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_library_that_aborts_as_it_is_loaded(module_path: Path, tmp_path: Path) -> None:
    path = package(tmp_path, "import os; os.abort()")
    code, found = run_doctor(module_path, PYTHONPATH=path)
    assert code == 1 and not found["llama.cpp"]["ok"]
    assert "killed by SIGABRT" in found["llama.cpp"]["finding"]
    assert "./install.sh" in found["llama.cpp"]["remedy"]
    assert found["model"]["ok"] and found["hub"]["ok"]  # it goes on


def test_no_library_and_no_compiler(module_path: Path, tmp_path: Path) -> None:
    path = package(tmp_path, "raise ImportError('libcudart.so.13: cannot open shared object')")
    code, found = run_doctor(module_path, PYTHONPATH=path, PATH=str(tmp_path))
    assert code == 1 and "libcudart.so.13" in found["llama.cpp"]["finding"]
    assert not found["compiler"]["ok"] and "none found" in found["compiler"]["finding"]


def test_a_model_cut_in_half(module_path: Path, model_dir: Path) -> None:
    code, found = run_doctor(
        module_path,
        CPAI_MODULE_LLAMA_MODEL_DIR=str(model_dir),
        CPAI_MODULE_LLAMA_MODEL_FILENAME="half.gguf",
    )
    assert code == 1 and "cut short or damaged" in found["model"]["finding"]
    assert "llamachat models guide" in found["model"]["remedy"]


def test_it_needs_nothing_but_the_standard_library(module_path: Path, tmp_path: Path) -> None:
    missing = "raise ModuleNotFoundError(f'No module named {__name__}', name=__name__)"
    (tmp_path / "psutil.py").write_text(missing)
    bare = {"PYTHONPATH": package(tmp_path, missing), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-S", str(module_path / "doctor.py")],
        env={**bare, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1 and "good  compiler" in done.stdout
    assert "BAD   llama.cpp    it does not load" in done.stdout
    assert "BAD   model        psutil is not installed" in done.stdout
    assert "  -> Run " in done.stdout and not done.stderr


def test_what_nobody_has_thought_of_is_a_finding_too() -> None:
    def fails() -> Any:
        raise RuntimeError("out of cheese")

    found = looked("cheese", fails)
    assert not found.is_good and "RuntimeError: out of cheese" in found.text


# --- what it is compiled with and runs on


def test_a_compiler_is_missed_only_where_it_is_needed() -> None:
    def none(_name: str) -> str | None:
        return None

    assert check_compiler(is_needed=False, which=none).is_good
    missed = check_compiler(is_needed=True, which=none)
    assert missed.is_good == (sys.platform == "win32")
    assert check_compiler(True, lambda _: "clang 16\nand more", str).text == "clang 16"


def test_the_processor_is_described() -> None:
    processor = Processor("x86_64", "Xeon", "6-143-8", frozenset(["sse2", "avx2", "amx_int8"]))
    text = check_processor(processor).text
    assert text.startswith("Xeon (x86_64") and text.endswith("avx2 amx_int8")


def test_an_old_python_is_bad() -> None:
    assert not check_python((3, 9, 0)).is_good and check_python((3, 12, 0)).is_good


# --- llama.cpp


def test_a_library_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", package(tmp_path, "import time; time.sleep(99)"))
    found = check_library(load_library(limit_s=0.5))
    assert not found.is_good and "it hangs" in found.text


@pytest.mark.parametrize(
    ("said", "text", "remedy"),
    [
        (
            {"ok": False, "isCurrent": True, "reason": "it answers nonsense"},
            "nonsense",
            "./install",
        ),
        (
            {"isCurrent": False, "processor": "EPYC"},
            "it was made for another processor or build: EPYC",
            "./install",
        ),
    ],
)
def test_a_proof_that_is_bad(tmp_path: Path, said: dict[str, Any], text: str, remedy: str) -> None:
    code = f"print('noise'); print({json.dumps(json.dumps(PROVEN | said))}); raise SystemExit(1)"
    found = check_proof(program(tmp_path, code))
    assert not found.is_good and text in found.text and remedy in found.remedy


def test_a_proof_that_is_good(tmp_path: Path) -> None:
    found = check_proof(program(tmp_path, f"print({json.dumps(json.dumps(PROVEN))})"))
    assert found.is_good and found.text == "Xeon, in 4 s"


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_proof_that_dies_hangs_or_is_not_there(tmp_path: Path) -> None:
    dies = program(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert "killed by SIGSEGV" in check_proof(dies).text
    assert "it hangs" in check_proof(program(tmp_path, "while True: pass"), limit_s=0.5).text
    missing = check_proof(tmp_path / "none.py")
    assert "not proven yet" in missing.text and "./install.sh" in missing.remedy


# --- the GPU


def nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Driver:
    """What is found where nvidia-smi is this script."""
    file = folder / "nvidia-smi"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return ask_driver()


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_cards_are_read_from_their_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "echo 'NVIDIA H200, 570.86, 143771, 143000, 9.0'"
    assert nvidia_smi(tmp_path, monkeypatch, line).cards == (CARD,)
    failed = nvidia_smi(tmp_path, monkeypatch, "echo 'Driver/library version mismatch'; exit 18")
    found = check_gpu(failed, GPU, "cu124", {})
    assert not found.is_good and "version mismatch" in found.text and "anew" in found.remedy
    nonsense = nvidia_smi(tmp_path, monkeypatch, "echo '[N/A], what'")
    assert not check_gpu(nonsense, GPU, "cu124", {}).is_good


def test_no_nvidia_smi_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_driver() == Driver()
    assert check_gpu(Driver(), CPU, "cpu", {}, tmp_path).is_good


@pytest.mark.parametrize(
    ("card", "library", "wheel", "said"),
    [
        (CARD, CPU, "cpu", "--backend cuda"),
        (Card("Tesla P40", "580.1", 24_000, 23_000, (6, 1)), GPU, "cu130", "CUDA 12"),
        (Card("RTX", "580.1", 24_000, 100, (8, 9)), GPU, "cu130", "nvidia-smi lists them"),
    ],
)
def test_a_card_that_cannot_be_used(card: Card, library: Library, wheel: str, said: str) -> None:
    found = check_gpu(Driver((card,)), library, wheel, {})
    assert not found.is_good and said in found.remedy and card.name in found.text
    assert check_gpu(Driver((card,)), library, wheel, {"CPAI_MODULE_ENABLE_GPU": "False"}).is_good


def test_a_card_that_can_be_used() -> None:
    found = check_gpu(Driver((CARD,)), GPU, "cu130", {})
    assert found.is_good and "compute capability 9.0, 139.6 GiB free of 140.4" in found.text


def test_a_card_without_a_driver(tmp_path: Path) -> None:
    device = tmp_path / "0000:01:00.0"
    device.mkdir()
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030000\n")
    found = check_gpu(Driver(), CPU, "cpu", {}, tmp_path)
    assert not found.is_good and "install NVIDIA's driver" in found.remedy


def test_what_the_wheel_was_built_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert wheel_kind() == ""
    Environment(tmp_path).write_build({"wish": {"wheels": "cu130"}})
    assert wheel_kind() == "cu130"


# --- the model


def model_environment(model_dir: Path, name: str, **more: str) -> dict[str, str]:
    return {
        "CPAI_MODULE_LLAMA_MODEL_DIR": str(model_dir),
        "CPAI_MODULE_LLAMA_MODEL_FILENAME": name,
        **more,
    }


def plenty(_weight_bytes: int) -> Room:
    return Room(True, "fits", "plenty")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.gguf", "none.gguf"),
        ("text.gguf", 'begin with "GGUF", found "A te"'),
        ("head.gguf", "cut short"),
        ("empty.gguf", "an empty file"),
    ],
)
def test_a_model_file_that_is_none(
    module_path: Path, model_dir: Path, name: str, said: str
) -> None:
    found = check_model(model_environment(model_dir, name), module_path, plenty)
    assert not found.is_good and said in found.text and found.remedy


def test_a_model_that_is_too_large(module_path: Path, model_dir: Path) -> None:
    def little(weight_bytes: int) -> Room:
        assert weight_bytes == (model_dir / "tiny.gguf").stat().st_size
        return Room(False, "too large", "0.1 GiB of memory")

    environment = model_environment(model_dir, "tiny.gguf")
    found = check_model(environment, module_path, little)
    assert not found.is_good and found.text.endswith("too large; free: 0.1 GiB of memory")
    assert "llamachat models" in found.remedy
    assert check_model(environment, module_path, plenty).is_good
    running = {**environment, "CPAI_MODULE_IS_RUNNING": "true"}
    assert check_model(running, module_path, little).is_good  # it is loaded already


@pytest.mark.parametrize("more", [{}, {"CPAI_MODULE_ENABLE_GPU": "False"}])
def test_room_is_what_the_machine_has(module_path: Path, more: dict[str, str]) -> None:
    small, large = (room_for(count, module_path, more) for count in (2**20, 2**50))
    assert (small.fits, small.how) == (True, "fits") and "GiB of memory" in small.free
    assert (large.fits, large.how) == (False, "too large")


def test_room_without_a_library_is_the_machines_memory(
    module_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", package(tmp_path, "import os; os.abort()"))
    assert room_for(2**20, module_path, {}).fits and not room_for(2**50, module_path, {}).fits


def test_a_model_that_was_fetched_is_found(tmp_path: Path) -> None:
    source = ModelSource(tmp_path, "", "a/b", "*.Q4.gguf")
    assert is_to_be_fetched(source)
    folder = tmp_path / "a--b"
    folder.mkdir()
    (folder / "m.Q4.gguf").write_bytes(b"")
    assert not is_to_be_fetched(source)


def test_a_chosen_model_that_nobody_knows(module_path: Path, tmp_path: Path) -> None:
    (tmp_path / "selected.json").write_text("{")
    environment = {"CPAI_MODULE_LLAMA_MODEL_DIR": str(tmp_path)}
    found = check_model(environment, module_path, plenty)
    assert not found.is_good and "selected.json" in found.text


# --- the hub


def test_a_hub_that_answers() -> None:
    with FakeHub("a/b", {}) as hub:
        assert check_hub(True, {"HF_ENDPOINT": hub.url}).text == f"{hub.url} is reachable"


def test_a_hub_that_is_away_is_bad_only_where_it_is_needed() -> None:
    environment = {"HF_ENDPOINT": f"http://127.0.0.1:{closed_port()}"}
    assert check_hub(False, environment).is_good
    found = check_hub(True, environment)
    assert not found.is_good and "by hand" in found.remedy
    offline = check_hub(False, {"HF_HUB_OFFLINE": "1"})
    assert offline.is_good and "HF_HUB_OFFLINE is set" in offline.text


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_hub_whose_certificate_nobody_trusts(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    names = ["-nodes", "-subj", "/CN=me", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*made, *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with FakeHub("a/b", {}, context) as hub:
        found = check_hub(False, {"HF_ENDPOINT": hub.url})
    assert not found.is_good and "SSL_CERT_FILE" in found.remedy


def test_a_hub_that_is_silent_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began = time.monotonic()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        found = check_hub(True, {"HF_ENDPOINT": url}, limit_s=0.3)
        assert not found.is_good and time.monotonic() - began < 5


def test_a_model_that_is_to_be_fetched_needs_the_hub(module_path: Path, model_dir: Path) -> None:
    code, found = run_doctor(
        module_path,
        **model_environment(model_dir, "far.gguf", CPAI_MODULE_LLAMA_MODEL_REPO="a/b"),
    )
    assert code == 1 and "to be fetched from hub repository a/b" in found["model"]["finding"]
    assert not found["hub"]["ok"]
