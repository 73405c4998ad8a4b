"""The environment of a module, read when asked and not before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sdk import LogVerbosity, ModuleOptions


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("CPAI_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "MyModule"
    folder.mkdir()
    monkeypatch.chdir(folder)


def test_outside_a_host_the_folder_gives_the_names() -> None:
    assert ModuleOptions.module_id == ModuleOptions.module_name == "MyModule"
    assert ModuleOptions.queue_name == "mymodule_queue"
    assert ModuleOptions.base_api_url == "http://localhost:32168/v1/"
    assert ModuleOptions.parallelism == 1
    assert ModuleOptions.enable_GPU is True and ModuleOptions.launched_by_server is False
    assert ModuleOptions.half_precision == "disable"
    assert ModuleOptions.log_verbosity is LogVerbosity.Quiet
    assert ModuleOptions.accel_device_name is None


def test_what_a_host_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "CPAI_MODULE_ID": "LlamaChat",
        "CPAI_MODULE_QUEUENAME": "llama",
        "CPAI_PORT": "4000",
        "CPAI_MODULE_PARALLELISM": "3",
        "CPAI_MODULE_ENABLE_GPU": "False",
        "CPAI_MODULE_SERVER_LAUNCHED": "true",
        "CPAI_LOG_VERBOSITY": "Loud",
        "CPAI_HALF_PRECISION": "Force",
        "CPAI_MODULE_REQUIRED_MB": "5000",
    }.items():
        monkeypatch.setenv(name, value)
    assert ModuleOptions.module_id == ModuleOptions.module_name == "LlamaChat"
    assert ModuleOptions.queue_name == "llama" and ModuleOptions.port == 4000
    assert ModuleOptions.host_url == "http://localhost:4000"
    assert ModuleOptions.parallelism == 3 and ModuleOptions.required_MB == 5000
    assert ModuleOptions.enable_GPU is False and ModuleOptions.launched_by_server is True
    assert ModuleOptions.log_verbosity is LogVerbosity.Loud
    assert ModuleOptions.half_precision == "force"
    monkeypatch.setenv("CPAI_HOST_URL", "http://10.0.0.1:5/")
    assert ModuleOptions.base_api_url == "http://10.0.0.1:5/v1/"


def test_safe_mode_and_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CPAI_MODULE_SAFE_MODE", "false")
    monkeypatch.setenv("CPAI_MODULE_SAFE_MODE_REASON", "killed by SIGSEGV")
    assert ModuleOptions.safe_mode_reason == ""
    assert ModuleOptions.is_safe_mode_forbidden
    monkeypatch.setenv("CPAI_MODULE_SAFE_MODE", "true")
    assert ModuleOptions.safe_mode_reason == "killed by SIGSEGV"
    monkeypatch.delenv("CPAI_MODULE_SAFE_MODE_REASON")
    assert ModuleOptions.safe_mode_reason == "CPAI_MODULE_SAFE_MODE asks for it"
    assert not ModuleOptions.is_safe_mode_forbidden


def test_nonsense_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CPAI_PORT", "CPAI_MODULE_PARALLELISM", "CPAI_LOG_VERBOSITY"):
        monkeypatch.setenv(name, "lots")
    assert ModuleOptions.port == 32168 and ModuleOptions.parallelism == 1
    assert ModuleOptions.log_verbosity is LogVerbosity.Quiet
    monkeypatch.setenv("CPAI_MODULE_PARALLELISM", "0")
    assert ModuleOptions.parallelism == 1


def test_get_env_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_OPTION", "")
    assert ModuleOptions.getEnvVariable("MY_OPTION", "default") == "default"
    monkeypatch.setenv("MY_OPTION", "set")
    assert ModuleOptions.getEnvVariable("MY_OPTION", "default") == "set"
