"""Setting up, with pip and the index replaced: what is run, what is remembered, what is said."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import llama_build
import pytest
import setup_environment
from llama_build import CPU, ROCM
from setup_environment import SetupError, Target, set_up


class Pip:
    """Takes pip's place: keeps the calls, fails those that are told to fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.cmake_args: list[str | None] = []
        self.fails: Callable[[tuple[str, ...]], bool] = lambda _: False

    def __call__(
        self, target: Target, *arguments: str, environment: dict[str, str] | None = None
    ) -> None:
        self.calls.append(arguments)
        self.cmake_args.append((environment or {}).get("CMAKE_ARGS"))
        if self.fails(arguments):
            raise SetupError("pip failed")


@pytest.fixture
def target(tmp_path: Path) -> Target:
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / ".venv").mkdir()
    return Target(tmp_path, is_project=True)


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Pip:
    """A machine with a compiler, no way to the index, an environment that works once made."""
    pip = Pip()
    monkeypatch.setattr(setup_environment, "_pip", pip)
    monkeypatch.setattr(setup_environment, "_make_venv", lambda _: None)
    monkeypatch.setattr(setup_environment, "_runs", lambda *_: True)
    monkeypatch.setattr(setup_environment, "_has_llama", lambda *_: False)
    monkeypatch.setattr(setup_environment, "_is_in_pip_cache", lambda _: False)
    monkeypatch.setattr(llama_build, "is_reachable", lambda _: False)
    monkeypatch.setattr(llama_build, "missing_tools", lambda _: [])
    return pip


def test_out_of_reach_it_is_built_from_source_and_the_time_is_said(
    target: Target, pip: Pip, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(target, CPU)
    assert "cannot be reached" in (said := capsys.readouterr().out)
    assert "minutes, once" in said
    assert not any("--extra-index-url" in call for call in pip.calls)
    assert pip.cmake_args == [None] * len(pip.calls)
    assert pip.calls[-1][-2:] == ("-e", str(target.folder))


def test_a_second_run_does_nothing(
    target: Target, pip: Pip, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(target, CPU)
    pip.calls.clear()
    set_up(target, CPU)
    assert pip.calls == []
    assert "installed already" in capsys.readouterr().out


def test_changed_requirements_are_seen(target: Target, pip: Pip) -> None:
    set_up(target, CPU)
    pip.calls.clear()
    (target.folder / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    set_up(target, CPU)
    assert pip.calls


def test_dev_after_plain_installs_and_plain_after_dev_does_not(target: Target, pip: Pip) -> None:
    set_up(target, CPU)
    pip.calls.clear()
    dev = Target(target.folder, is_project=True, is_dev=True)
    set_up(dev, CPU)
    assert pip.calls[-1][-1] == f"{target.folder}[dev]"
    pip.calls.clear()
    set_up(target, CPU)
    assert pip.calls == []


def test_a_failed_run_leaves_no_stamp(target: Target, pip: Pip) -> None:
    pip.fails = lambda arguments: "-e" in arguments
    with pytest.raises(SetupError):
        set_up(target, CPU)
    pip.fails = lambda _: False
    pip.calls.clear()
    set_up(target, CPU)
    assert pip.calls


def test_a_reachable_index_gives_a_wheel(
    target: Target, pip: Pip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_build, "is_reachable", lambda _: True)
    set_up(target, ROCM)
    assert ROCM.index_url in pip.calls[0]
    assert "--only-binary" in pip.calls[0]
    assert set(pip.cmake_args) == {None}


def test_a_gpu_build_from_source_leaves_pip_s_cache_alone(target: Target, pip: Pip) -> None:
    set_up(target, ROCM)
    assert "--no-cache-dir" in pip.calls[0]
    assert pip.cmake_args[0] == "-DGGML_HIP=on"


def test_a_gpu_build_that_fails_gives_way_to_the_cpu(
    target: Target, pip: Pip, capsys: pytest.CaptureFixture[str]
) -> None:
    pip.fails = lambda arguments: "--no-cache-dir" in arguments
    set_up(target, ROCM)
    assert "Going on with the build for the CPU" in capsys.readouterr().out
    assert pip.cmake_args[-1] is None


def test_no_compiler_is_an_error_with_the_remedy(
    target: Target, pip: Pip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_build, "missing_tools", lambda _: ["a C++ compiler"])
    with pytest.raises(SetupError, match=r"a C\+\+ compiler missing.*install"):
        set_up(target, CPU)


def test_no_compiler_is_needed_for_what_is_in_pip_s_cache(
    target: Target, pip: Pip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_build, "missing_tools", lambda _: ["a C++ compiler"])
    monkeypatch.setattr(setup_environment, "_is_in_pip_cache", lambda _: True)
    set_up(target, CPU)


@pytest.mark.skipif(os.name == "nt", reason="a shell script takes Python's place")
def test_pip_s_failure_shows_the_end_of_its_output(tmp_path: Path) -> None:
    target = Target(tmp_path, is_project=False)
    target.python.parent.mkdir(parents=True)
    target.python.write_text("#!/bin/sh\necho 'ERROR: no room'\nexit 1\n")
    target.python.chmod(0o755)
    with pytest.raises(SetupError, match=r"(?s)ERROR: no room.*install\.log.*run this again"):
        setup_environment._pip(target, "install", "something")
