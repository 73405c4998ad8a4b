"""What a module's process is launched with: its command line and its environment.

Invariant: who the module is and where its host is cannot be overridden; everything else can, by a
variable of the host's own environment.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from host.settings.home import HOME
from host.settings.places import data_dir
from host.settings.schema import ModuleSettings, ServerSettings

_MACRO = re.compile(r"%([A-Z_]+)%")


def launch_command(module: ModuleSettings) -> list[str]:
    """The module's command line: interpreter (if it needs one) and file, as absolute paths."""
    launch = module.launch
    file = str(module.path / launch.file_path.replace("\\", "/"))
    runtime = launch.runtime.lower()
    if file.lower().endswith(".py") or runtime.startswith("python"):
        return [module_python(module), file]
    if runtime == "dotnet":
        return ["dotnet", file]
    return [file]


def module_python(module: ModuleSettings) -> str:
    """The interpreter of a module: that of the `.venv` in its folder, else of the environment that
    its setup program makes, else the host's."""
    own = module.path / ".venv"
    venv = own if own.is_dir() else module.venv
    if venv is None:
        return sys.executable
    return str(venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))


def module_environment(
    module: ModuleSettings,
    server: ServerSettings,
    instance_id: str,
    base_env: Mapping[str, str],
    instance_env: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The environment of one launch of a module.

    `base_env` is the host's own environment, which the module inherits; `instance_env` tells one
    instance from another, so nothing wins over it. The module's directory is its working directory,
    so a relative path in a value is relative to that.
    """
    configured = {**_tunables(module), **_variables(module.environment, module, server)}
    env = _over(configured, base_env)
    env = _over(env, _variables(instance_env or {}, module, server))
    env.update(_identity(module, server, instance_id))
    env["CPAI_DATA_DIR"] = str(data_dir(server, base_env))
    env["PYTHONUNBUFFERED"] = "1"
    paths = [str(HOME), env.get("PYTHONPATH", "")]
    env["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return env


def _over(below: Mapping[str, str], above: Mapping[str, str]) -> dict[str, str]:
    """Both, where `above` wins. On Windows `Path` and `PATH` are one variable."""
    if os.name != "nt":
        return {**below, **above}
    names = {name.upper() for name in above}
    return {**{name: below[name] for name in below if name.upper() not in names}, **above}


def _identity(module: ModuleSettings, server: ServerSettings, instance_id: str) -> dict[str, str]:
    return {
        "CPAI_PORT": str(server.port),
        "CPAI_HOST_URL": server.url,
        "CPAI_APPROOTPATH": str(server.root_path),
        "CPAI_MODULE_SERVER_LAUNCHED": "true",
        "CPAI_MODULE_ID": module.id,
        "CPAI_MODULE_NAME": module.title,
        "CPAI_MODULE_PATH": str(module.path),
        "CPAI_MODULE_QUEUENAME": module.queue,
        "CPAI_MODULE_INSTANCE_ID": instance_id,
        "CPAI_STORE_SHARED": str(server.is_store_shared).lower(),
    }


def _tunables(module: ModuleSettings) -> dict[str, str]:
    gpu = module.gpu
    values = {
        "CPAI_MODULE_PARALLELISM": str(module.launch.parallelism),  # 0: the module chooses
        "CPAI_MODULE_REQUIRED_MB": str(module.launch.required_mb),
        "CPAI_MODULE_ENABLE_GPU": str(gpu.install_gpu and gpu.enable_gpu),
        "CPAI_HALF_PRECISION": gpu.half_precision,
        "CPAI_LOG_VERBOSITY": module.launch.log_verbosity,
    }
    if gpu.accelerator_device_name:
        values["CPAI_ACCEL_DEVICE_NAME"] = gpu.accelerator_device_name
    return values


def _variables(
    variables: Mapping[str, str], module: ModuleSettings, server: ServerSettings
) -> dict[str, str]:
    macros = {
        "CURRENT_MODULE_PATH": module.path,
        "MODULES_PATH": module.path.parent,
        "ROOT_PATH": server.root_path,
        "DATA_DIR": server.root_path / "data",
    }
    return {name: _expanded(value, macros) for name, value in variables.items()}


def _expanded(value: str, macros: Mapping[str, Path]) -> str:
    """`@text` is the text as it is; otherwise known macros are filled in.

    A value with a macro is a path, and published ones write it with either slash.
    """
    if value.startswith("@"):
        return value[1:]
    filled = _MACRO.sub(lambda found: str(macros.get(found[1], found[0])), value)
    return filled.replace("\\", "/") if filled != value and os.sep == "/" else filled
