"""The scripts that people run, and the lists of packages that other hosts read."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from llama_setup.builds import LLAMA_CPP_PYTHON, WHEEL_INDEX

BASH = shutil.which("bash") or ""
pytestmark = pytest.mark.skipif(not BASH, reason="needs bash")


def bash(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BASH, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("script", ["install.sh", "modules/LlamaChat/install.sh"])
def test_scripts_are_well_formed_and_executable(project: Path, script: str) -> None:
    result = bash("-n", str(project / script))
    assert result.returncode == 0, result.stderr
    assert os.access(project / script, os.X_OK)


def test_help_names_the_options(project: Path) -> None:
    result = bash(str(project / "install.sh"), "--help")
    assert result.returncode == 0
    for option in (
        "--dev",
        "--model NAME",
        "--backend NAME",
        "--dry-run",
        "--verbose",
        "--uninstall",
    ):
        assert option in result.stdout


def test_a_dry_run_says_what_it_would_do_and_does_nothing(project: Path, tmp_path: Path) -> None:
    (tmp_path / "modules").mkdir()
    module = tmp_path / "modules" / "LlamaChat"
    shutil.copytree(project / "modules" / "LlamaChat", module)
    shutil.copy(project / "install.sh", tmp_path)
    result = bash(str(tmp_path / "install.sh"), "--dry-run", "--backend", "cpu")
    assert result.returncode == 0, result.stderr
    assert f"{tmp_path / '.venv'} with llama-cpp-python for cpu" in result.stdout
    assert "Ready" not in result.stdout
    assert not (tmp_path / ".venv").exists()


def test_an_unknown_option_is_refused(project: Path) -> None:
    result = bash(str(project / "install.sh"), "--fast")
    assert result.returncode != 0
    assert "--fast" in result.stderr


def test_no_suitable_python_is_said_with_the_remedy(project: Path, tmp_path: Path) -> None:
    for name in ("dirname", "uname"):
        (tmp_path / name).symlink_to(shutil.which(name) or "")
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    result = bash(str(project / "install.sh"), PATH=str(tmp_path), PYTHON="")
    assert result.returncode == 1
    assert "Python 3.10 or newer is needed" in result.stderr
    assert "Install it" in result.stderr


def test_inside_another_host_the_script_downloads_nothing(
    chat_module: Path, tmp_path: Path
) -> None:
    """As the field's setup sources it: its variables, its functions, no exit."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "guide.gguf").write_bytes(b"GGUF")
    shutil.copy(chat_module / "install.sh", tmp_path)
    caller = (
        'writeLine() { echo "LINE $1"; }; moduleInstallErrors=""; set -- install; '
        f'moduleDirPath="{tmp_path}"; . "{tmp_path}/install.sh" install; '
        'echo "errors=[$moduleInstallErrors]"'
    )
    result = bash("-c", caller)
    assert "LINE The built-in model is in place" in result.stdout
    assert "LINE LlamaChat is installed: start the host again" in result.stdout
    assert "errors=[]" in result.stdout
    (tmp_path / "models" / "guide.gguf").unlink()
    assert "errors=[Expected the built-in model" in bash("-c", caller).stdout


def packages_of(path: Path) -> list[str]:
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("--")]


def test_the_variants_differ_in_their_index_only(chat_module: Path) -> None:
    variants = sorted(chat_module.glob("requirements*.txt"))
    assert len(variants) >= 8
    expected = packages_of(chat_module / "requirements.txt")
    assert LLAMA_CPP_PYTHON in expected
    for variant in variants:
        assert packages_of(variant) == expected, variant.name
        text = variant.read_text()
        assert (WHEEL_INDEX in text) == (variant.name != "requirements.txt")


def test_windows_scripts_have_windows_line_ends(project: Path, chat_module: Path) -> None:
    for script in (project / "install.bat", chat_module / "install.bat"):
        content = script.read_bytes()
        assert content.count(b"\n") == content.count(b"\r\n") > 10
