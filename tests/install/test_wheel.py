"""The wheel: what is in it, and that it works where nothing of the project is but itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from llama_setup.builds import LLAMA_CPP_PYTHON

from host import __version__
from host.wire import PROTOCOL

# Takes the real setup program's place, which installs for minutes: an environment of the same
# Python that finds the packages of the one that the tests run in.
QUICK_SETUP = """
import argparse, os, pathlib, sysconfig, venv
parser = argparse.ArgumentParser()
parser.add_argument("--venv", type=pathlib.Path)
folder = parser.parse_args().venv
print("setting up", folder, flush=True)
venv.create(folder, symlinks=os.name != "nt", clear=True)
here = sysconfig.get_path("purelib", "venv", {"base": str(folder)})
pathlib.Path(here, "tests.pth").write_text(os.environ["TEST_PACKAGES"])
"""
FAILING_SETUP = "import sys; print('no room on the disk'); sys.exit(1)"


@pytest.fixture(scope="module")
def wheel(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `python -m build` does, but for the environment of its own that needs a network."""
    out = tmp_path_factory.mktemp("dist")
    options = ["--wheel", "--no-isolation", "--outdir", str(out)]
    subprocess.run(
        [sys.executable, "-m", "build", *options, str(project)], check=True, capture_output=True
    )
    [path] = out.glob("*.whl")
    return path


class Installation:
    """The wheel, unpacked as pip does, with a user's folders of its own."""

    def __init__(self, wheel: Path, folder: Path) -> None:
        self.site, self.data, self.config = folder / "site", folder / "data", folder / "config"
        self.package = self.site / "llamachat"
        with zipfile.ZipFile(wheel) as content:
            content.extractall(self.site)
        self.elsewhere = folder / "elsewhere"
        self.elsewhere.mkdir()
        self.set_up_with(QUICK_SETUP)

    def set_up_with(self, program: str) -> None:
        (self.package / "modules" / "LlamaChat" / "setup_environment.py").write_text(program)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "llamachat", *arguments],
            cwd=self.elsewhere,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "llamachat", *arguments],
            cwd=self.elsewhere,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def environment(self) -> dict[str, str]:
        own = {name: text for name, text in os.environ.items() if not name.startswith("CPAI_")}
        return {
            **own,
            "PYTHONPATH": str(self.site),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LLAMACHAT_DATA_DIR": str(self.data),
            "LLAMACHAT_CONFIG_DIR": str(self.config),
            "TEST_PACKAGES": sysconfig.get_path("purelib"),
        }

    def files(self) -> set[str]:
        return {str(path.relative_to(self.site)) for path in self.site.rglob("*")}


@pytest.fixture
def installation(wheel: Path, tmp_path: Path) -> Iterator[Installation]:
    made = Installation(wheel, tmp_path)
    before = made.files()
    yield made
    assert made.files() == before, "what was installed is only read"


def test_everything_lies_in_one_import_package(wheel: Path, project: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
    assert {name.split("/")[0] for name in names} == {
        "llamachat",
        f"llamachat-{__version__}.dist-info",
    }
    for name in (
        "host/web/pages/explorer.html",
        "host/store/redis/scripts/claim.lua",
        "sdk/__init__.py",
        "modules/LlamaChat/modulesettings.json",
        "modules/LlamaChat/llama_engine/schedule/engine.py",
        "modules/LlamaChat/setup_environment.py",
        "modules/LlamaChat/llama_setup/amx_tile_config.h",
        "models/guide.gguf",
        "modulesettings.json",
        "LICENSE",
    ):
        assert f"llamachat/{name}" in names
    rubbish = ("__pycache__", ".venv", "/tests/", "LlamaChat/models/", ".log")
    assert not [name for name in names if any(part in name for part in rubbish)]


def test_it_does_not_have_pip_compile_llama_cpp(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as content:
        metadata = content.read(f"llamachat-{__version__}.dist-info/METADATA").decode()
    assert "Requires-Dist: aiohttp" in metadata
    assert "llama-cpp-python" not in metadata.split("\n\n")[0]


def test_one_version_for_all_of_it(installation: Installation, chat_module: Path) -> None:
    said = installation.run("--version")
    expected = f"llamachat {__version__} (module LlamaChat {__version__}, protocol {PROTOCOL})\n"
    assert (said.returncode, said.stdout) == (0, expected)
    assert f'"ModuleVersion": "{__version__}"' in (chat_module / "modulesettings.json").read_text()


def test_the_page_on_installing_names_these_versions(project: Path) -> None:
    page = (project / "docs" / "install.md").read_text(encoding="utf-8")
    assert LLAMA_CPP_PYTHON in page
    assert f"llamachat-{__version__}-py3-none-any.whl" in page


def test_it_answers_in_an_empty_directory(installation: Installation) -> None:
    first = installation.run("ask", "--serve", "What can you do?")
    assert first.returncode == 0, first.stderr
    assert len(first.stdout) > 20 and "setting up" not in first.stdout
    environment = installation.data / "environments" / "LlamaChat"
    assert f"setting up {environment}" in first.stderr
    second = installation.run("ask", "--serve", "What can you do?", "--temperature", "0")
    assert second.returncode == 0 and "setting up" not in second.stderr
    assert list(installation.elsewhere.iterdir()) == []


def test_it_serves_the_page_and_the_module(installation: Installation) -> None:
    with installation.start("serve", "--port", "0") as host:
        try:
            assert host.stdout is not None
            url = next(line.split()[1] for line in host.stdout if "Explorer:" in line)
            with urllib.request.urlopen(url, timeout=20) as page:  # noqa: S310
                assert b"LlamaChat" in page.read()
            with urllib.request.urlopen(f"{url}v1/module/list/status", timeout=20) as answer:  # noqa: S310
                [module] = json.load(answer)["statuses"]
            assert module["moduleId"] == "LlamaChat" and not module["reason"]
        finally:
            host.terminate()
            host.communicate(timeout=30)
    assert host.returncode == 0


def test_models_go_to_the_user_s_data(installation: Installation) -> None:
    listed = installation.run("models")
    assert listed.returncode == 0 and "* guide" in listed.stdout
    # A file of the right name is as good as a download.
    catalogue = installation.package / "modules" / "LlamaChat" / "model_catalogue.json"
    model = next(one for one in json.loads(catalogue.read_text())["models"] if one["repo"])
    file = installation.data / "models" / model["file"]
    file.parent.mkdir()
    file.write_bytes((installation.package / "models" / "guide.gguf").read_bytes())
    chosen = installation.run("models", model["name"])
    assert chosen.returncode == 0 and str(file) in chosen.stdout, chosen.stderr
    assert f"* {model['name']}" in installation.run("models").stdout


def test_own_settings_and_own_modules_are_the_user_s(installation: Installation) -> None:
    installation.config.mkdir()
    own = {"Modules": {"LlamaChat": {"EnvironmentVariables": {"CPAI_MODULE_LLAMA_MODEL_DIR": 1}}}}
    (installation.config / "modulesettings.json").write_text(json.dumps(own))
    mine = installation.data / "modules" / "Mine"
    mine.mkdir(parents=True)
    settings = {"Version": "7", "LaunchSettings": {"FilePath": "mine.py"}}
    (mine / "modulesettings.json").write_text(json.dumps({"Modules": {"Mine": settings}}))
    assert "(module Mine 7, module LlamaChat" in installation.run("--version").stdout
    (installation.config / "modulesettings.json").write_text('{"Server": {"Port": "many"}}')
    wrong = installation.run("serve")
    assert wrong.returncode == 1
    assert f"{installation.config / 'modulesettings.json'}: Server.Port" in wrong.stderr


def test_a_setup_that_fails_is_said_and_tried_again(installation: Installation) -> None:
    installation.set_up_with(FAILING_SETUP)
    for command in (["serve"], ["ask", "--serve", "Who?"], ["models"], ["setup"]):
        failed = installation.run(*command)
        assert failed.returncode == 1 and failed.stdout == ""
        assert "no room on the disk" in failed.stderr
        assert "could not be made" in failed.stderr and "llamachat setup" in failed.stderr
    installation.set_up_with(QUICK_SETUP)
    assert installation.run("models").returncode == 0


def test_a_changed_module_and_a_lost_python_are_seen(installation: Installation) -> None:
    assert "setting up" in installation.run("models").stderr
    python = installation.data / "environments" / "LlamaChat" / "bin" / "python"
    python.unlink()
    assert "setting up" in installation.run("models").stderr
    requirements = installation.package / "modules" / "LlamaChat" / "requirements.txt"
    requirements.write_text(requirements.read_text() + "# changed\n")
    assert "setting up" in installation.run("models").stderr
    assert "setting up" not in installation.run("models").stderr


def test_setup_runs_whatever_there_is(installation: Installation) -> None:
    for _ in range(2):
        done = installation.run("setup")
        assert done.returncode == 0 and "setting up" in done.stderr
    assert "setting up" not in installation.run("models").stderr
    refused = installation.run("setup", "--no-such-option")
    assert refused.returncode == 1 and "--no-such-option" in refused.stderr


def test_the_package_for_other_hosts_can_be_made_from_it(installation: Installation) -> None:
    made = installation.run("package", "LlamaChat")
    assert made.returncode == 0, made.stderr
    package = installation.elsewhere / f"LlamaChat-{__version__}.zip"
    with zipfile.ZipFile(package) as content:
        assert {"models/guide.gguf", "sdk/__init__.py", "LICENSE"} <= set(content.namelist())
