"""`llamachat selftest`: a module tests itself, without a host, as a host would launch it.

Invariant: the module gets the interpreter, the environment and the SDK that a host here gives it,
so that a test that passes is one that will pass there.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from host.cli.environments import ensure_environments
from host.processes.supervisor import UnknownModule
from host.settings import ModuleSettings, Settings, launch_command, module_environment
from host.settings.files import FILE_NAME
from host.settings.load import load_module

SELF_TEST = "--selftest"


def find_module(settings: Settings, name: str) -> ModuleSettings:
    """The module of that id, letter case aside, or the one in a folder of that name.

    Raises UnknownModule, SettingsError.
    """
    for module in settings.modules:
        if module.id.lower() == name.lower():
            return module
    folder = Path(name).resolve()
    if (folder / FILE_NAME).is_file():
        return load_module(folder)
    raise UnknownModule(name, [module.id for module in settings.modules])


def selftest(settings: Settings, name: str) -> int:
    """Run the module's own self-test; its exit code is 0 when it has passed."""
    module = find_module(settings, name)
    ensure_environments([module], settings.server)
    env = module_environment(module, settings.server, "", os.environ)
    env["CPAI_MODULE_SERVER_LAUNCHED"] = "false"
    command = [*launch_command(module), SELF_TEST]
    return subprocess.run(command, env=env, cwd=module.path, check=False).returncode  # noqa: S603
