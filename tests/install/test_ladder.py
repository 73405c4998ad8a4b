"""Which builds are tried, and what is said. Pip, the compiler and the proof are replaced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_setup import builds, ladder
from llama_setup.amx import Amx
from llama_setup.builds import CPU, ROCM, Build
from llama_setup.compilation import Compilation
from llama_setup.environment import Environment
from llama_setup.ladder import Ladder, Wish
from llama_setup.processor import Processor, from_cpuinfo
from llama_setup.setup_error import SetupError
from llama_setup.wheel_cache import WheelCache
from test_processor import _V4, cpuinfo

XEON = from_cpuinfo(cpuinfo(f"{_V4} amx_tile"), "x86_64")


class Machine:
    """A machine with a compiler and no index within reach. `works` says which builds do."""

    def __init__(self, venv: Path) -> None:
        self.environment = Environment(venv)
        self.works: Callable[[str], bool] = lambda _: True
        self.has_ready_made = False
        self.compiled: list[str] = []
        self.proven: list[str] = []
        self.installed = ""

    def pip(self, _: Environment, *arguments: str, **__: object) -> None:
        if arguments[0] == "download":
            if not self.has_ready_made:
                raise SetupError("no matching distribution")
            folder = Path(arguments[arguments.index("--dest") + 1])
            (folder / "ready-1-py3-none-any.whl").touch()
        else:
            self.installed = Path(arguments[-1]).parent.name

    def compile(self, compilation: Compilation, cache: WheelCache) -> Path:
        self.compiled.append(compilation.recipe.name)
        wheel = compilation.folder / "made-1-py3-none-any.whl"
        wheel.touch()
        return cache.put(compilation.key, wheel)

    def prove(self, _: Ladder, *arguments: str) -> dict[str, Any]:
        name = str(self.environment.build()["recipe"])
        self.proven.append(name)
        if self.works(name):
            return {"ok": True, "devices": ["CPU"], "reason": "", "remedy": ""}
        return {"ok": False, "reason": "killed by SIGILL", "remedy": "Do this"}

    def install(self, build: Build = CPU) -> None:
        Ladder(self.environment, Wish(build)).install()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    (tmp_path / "venv").mkdir()
    machine = Machine(tmp_path / "venv")
    monkeypatch.setenv("LLAMACHAT_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("CMAKE_ARGS", "CC", "CXX", "CFLAGS", "CXXFLAGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Environment, "pip", lambda *given, **named: machine.pip(*given, **named))
    monkeypatch.setattr(Compilation, "wheel", lambda *given: machine.compile(*given))
    monkeypatch.setattr(Ladder, "_prove", lambda *given: machine.prove(*given))
    monkeypatch.setattr(builds, "is_reachable", lambda _: False)
    monkeypatch.setattr(builds, "missing_tools", lambda _: [])
    monkeypatch.setattr(ladder, "this_processor", lambda: XEON)
    monkeypatch.setattr(ladder, "try_amx", lambda _: Amx.MENDED)
    return machine


def test_the_best_build_is_compiled_and_proven(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.install()
    assert machine.compiled == machine.proven == ["native"]
    said = capsys.readouterr().out
    assert "AMX, this processor's matrix unit, works once the compiler's mistake is mended" in said
    assert "min, once ..." in said
    assert "proven on the CPU" in said


def test_a_build_that_dies_is_replaced_by_the_next_one_down(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.works = lambda name: name == "x86-64-v3"
    machine.install()
    assert machine.compiled == ["native", "native-without-amx", "x86-64-v3"]
    said = capsys.readouterr().out
    assert "does not work here: the one for exactly this processor" in said
    assert "killed by SIGILL" in said
    assert "a third of the speed" in said


def test_what_failed_is_not_compiled_again(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.works = lambda name: name == "x86-64-v2"
    machine.install()
    machine.compiled.clear()
    (machine.environment.venv / "llama_build.json").unlink()
    machine.install()
    assert machine.compiled == []
    assert "known to fail here (killed by SIGILL)" in capsys.readouterr().out


def test_a_second_environment_takes_it_from_the_cache_and_proves_it(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.install()
    (tmp_path / "second").mkdir()
    machine.environment = Environment(tmp_path / "second")
    machine.install()
    assert machine.compiled == ["native"]
    assert machine.proven == ["native", "native"]
    assert "from the cache" in capsys.readouterr().out


def test_another_processor_finds_nothing_in_the_cache(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.install()
    another = Processor("x86_64", "another", "", XEON.features)
    monkeypatch.setattr(ladder, "this_processor", lambda: another)
    machine.install()
    assert machine.compiled == ["native", "native"]


def test_what_is_installed_and_works_is_kept(machine: Machine) -> None:
    machine.install()
    machine.compiled.clear()
    machine.installed = ""
    machine.install()
    assert machine.compiled == []
    assert machine.installed == ""


def test_what_is_installed_and_works_no_longer_is_replaced(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.install()
    machine.works = lambda name: name == "native-without-amx"
    machine.install()
    assert machine.environment.build()["recipe"] == "native-without-amx"
    assert "The build that is installed does not work" in capsys.readouterr().out


def test_other_flags_of_the_user_s_make_another_build(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.install()
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_OPENMP=OFF")
    machine.install()
    assert machine.compiled == ["native", "native"]


def test_a_ready_made_wheel_counts_as_unproven(machine: Machine) -> None:
    machine.has_ready_made = True
    machine.works = lambda name: name != "ready-made"
    machine.install()
    assert machine.proven == ["ready-made", "native"]


def test_a_gpu_s_build_that_fails_gives_way_to_the_cpu_and_is_tried_again(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.works = lambda _: machine.environment.build()["backend"] == "cpu"
    machine.install(ROCM)
    assert machine.compiled == ["native", "native"]
    said = capsys.readouterr().out
    assert "Going on with the build for the CPU" in said
    assert said.splitlines()[-1].startswith("The GPU is not used: killed by SIGILL. Do this.")
    machine.install(ROCM)
    assert machine.compiled == ["native", "native"]
    assert machine.environment.build()["backend"] == "cpu"


def test_nothing_works(machine: Machine) -> None:
    machine.works = lambda _: False
    with pytest.raises(SetupError, match=r"No build of llama.cpp works.*--again"):
        machine.install()
    assert machine.compiled[-1] == "x86-64-v2"


def test_no_compiler(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builds, "missing_tools", lambda _: ["a C++ compiler"])
    with pytest.raises(SetupError, match=r"a C\+\+ compiler is missing: .*install"):
        machine.install()
