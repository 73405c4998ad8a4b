"""Setting up, with pip and the ladder replaced: what is run, what is remembered, what is said."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import setup_environment
from llama_setup.builds import CPU
from llama_setup.environment import Environment
from llama_setup.ladder import Ladder, Wish
from llama_setup.setup_error import SetupError
from setup_environment import main, set_up

WISH = Wish(CPU)


class Pip:
    """Takes pip's place: keeps the calls, fails those that are told to fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.fails: Callable[[tuple[str, ...]], bool] = lambda _: False

    def __call__(self, _: Environment, *arguments: str) -> None:
        self.calls.append(arguments)
        if self.fails(arguments):
            raise SetupError("pip failed")


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / ".venv").mkdir()
    return Environment(tmp_path / ".venv", tmp_path)


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Pip:
    pip = Pip()
    monkeypatch.setattr(Environment, "pip", lambda *given: pip(*given))
    monkeypatch.setattr(Environment, "make", lambda _: None)
    monkeypatch.setattr(Environment, "runs", lambda *_: True)
    monkeypatch.setattr(Ladder, "install", lambda _: False)
    return pip


def test_the_project_is_installed_as_it_lies_there(environment: Environment, pip: Pip) -> None:
    """A copy would be an old one after the next `git pull`."""
    set_up(environment, WISH)
    assert pip.calls[-1][-2:] == ("-e", str(environment.project))


def test_a_second_run_does_nothing(
    environment: Environment, pip: Pip, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(environment, WISH)
    pip.calls.clear()
    set_up(environment, WISH)
    assert pip.calls == []
    assert "installed already" in capsys.readouterr().out


def test_a_second_run_proves_the_build_nevertheless(
    environment: Environment,
    pip: Pip,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    proven: list[Ladder] = []

    def install(ladder: Ladder) -> bool:
        proven.append(ladder)
        return True

    monkeypatch.setattr(Ladder, "install", install)
    set_up(environment, WISH)
    set_up(environment, WISH)
    assert len(proven) == 2
    assert "Everything else is there" in capsys.readouterr().out


def test_changed_requirements_are_seen(environment: Environment, pip: Pip) -> None:
    set_up(environment, WISH)
    pip.calls.clear()
    (environment.venv.parent / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    set_up(environment, WISH)
    assert pip.calls


def test_dev_after_plain_installs_and_plain_after_dev_does_not(
    environment: Environment, pip: Pip
) -> None:
    set_up(environment, WISH)
    pip.calls.clear()
    dev = Environment(environment.venv, environment.project, is_dev=True)
    set_up(dev, WISH)
    assert pip.calls[-1][-1] == f"{environment.project}[dev]"
    pip.calls.clear()
    set_up(environment, WISH)
    assert pip.calls == []


def test_a_failed_run_leaves_no_stamp(environment: Environment, pip: Pip) -> None:
    pip.fails = lambda arguments: "-e" in arguments
    with pytest.raises(SetupError):
        set_up(environment, WISH)
    pip.fails = lambda _: False
    pip.calls.clear()
    set_up(environment, WISH)
    assert pip.calls


def test_the_module_alone_in_a_folder_of_its_own(
    tmp_path: Path, pip: Pip, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own").mkdir()
    assert main(["--venv", str(tmp_path / "own"), "--backend", "cpu"]) == 0
    assert pip.calls == [("install", "-r", str(setup_environment.MODULE_PATH / "requirements.txt"))]
    assert (tmp_path / "own" / setup_environment.STAMP_FILE).exists()


def test_the_remedy_comes_before_the_log(
    tmp_path: Path, pip: Pip, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Ladder) -> bool:
        raise SetupError("Install a compiler", "a long log")

    monkeypatch.setattr(Ladder, "install", fail)
    (tmp_path / "own").mkdir()
    assert main(["--venv", str(tmp_path / "own"), "--backend", "cpu"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("\nNot installed. Install a compiler\na long log\nWhat else")
    assert said.endswith("doctor.py\n")


@pytest.mark.skipif(os.name == "nt", reason="a shell script takes Python's place")
def test_pip_s_failure_shows_the_end_of_its_output(tmp_path: Path) -> None:
    environment = Environment(tmp_path / ".venv")
    environment.python.parent.mkdir(parents=True)
    environment.python.write_text("#!/bin/sh\necho 'ERROR: no room'\nexit 1\n")
    environment.python.chmod(0o755)
    with pytest.raises(SetupError, match=r"(?s)run this again.*ERROR: no room.*install\.log"):
        environment.pip("install", "something")


def test_uninstall_takes_what_was_made_and_names_what_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LLAMACHAT_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "cache" / "wheels").mkdir(parents=True)
    (tmp_path / ".venv").mkdir()
    assert main(["--project", str(tmp_path), "--uninstall"]) == 0
    assert list(tmp_path.iterdir()) == []
    assert "stay" in capsys.readouterr().out
