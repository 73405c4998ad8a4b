"""Commands for what is installed, and for those who make modules: `models`, `setup`, `new`, ..."""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path

from host.cli.arguments import Commands, add_root, module_of
from host.cli.environments import ensure_environments, set_up, set_up_checkout
from host.cli.new_module import new_module
from host.cli.packaging import package_module
from host.cli.selftest import selftest
from host.settings import module_environment, module_python
from host.settings.deployment import load_deployment
from host.settings.home import HOME

CHAT_MODULE = "LlamaChat"


def add_to(commands: Commands) -> None:
    """Their parsers."""
    models = commands.add_parser("models", help="list the models by name, or install and use one")
    models.add_argument(
        "name", nargs="?", help="the model to install and use, or a GGUF file (default: list them)"
    )
    models.add_argument("--copy", action="store_true", help="copy that file beside the others")
    add_root(models)
    models.set_defaults(run=_models)

    setup = commands.add_parser(
        "setup",
        help="set up what the chat runs on; --help shows the options",
        add_help=False,
        prefix_chars="\0",  # the options are the setup program's
    )
    setup.add_argument("options", nargs="*")
    setup.set_defaults(run=_set_up)

    new = commands.add_parser("new", help="make a module to begin with, under modules/")
    new.add_argument("name", help="its name and id, such as Shout")
    add_root(new)
    new.set_defaults(run=_new)

    test = commands.add_parser("selftest", help="have a module test itself, without a host")
    test.add_argument("module", help="the module's id, such as LlamaChat, or its folder")
    add_root(test)
    test.set_defaults(run=_selftest)

    sdk = commands.add_parser("sdk", help="print the folder that a module's `import sdk` needs")
    sdk.set_defaults(run=_sdk)

    package = commands.add_parser("package", help="write a module as the zip that other hosts take")
    package.add_argument("module", help="the module's id, such as LlamaChat")
    package.add_argument("--out", type=Path, default=Path("."), help="folder to write it to")
    add_root(package)
    package.set_defaults(run=_package)


def _models(arguments: argparse.Namespace) -> int:
    """The list belongs to the module: its own script does this, in the module's environment."""
    settings = load_deployment(arguments.root)
    module = module_of(settings, CHAT_MODULE)
    ensure_environments([module], settings.server)
    env = module_environment(module, settings.server, "", os.environ)
    script = module.path / "model_download.py"
    command = [module_python(module), str(script), arguments.name or "--list"]
    command += ["--copy"] if arguments.copy else []
    return subprocess.run(command, env=env, check=False).returncode  # noqa: S603


def _set_up(arguments: argparse.Namespace) -> int:
    settings = load_deployment(None)
    module = module_of(settings, CHAT_MODULE)
    if module.venv is None:
        set_up_checkout(module, arguments.options)
    else:
        set_up(module, settings.server, arguments.options)
    return 0


def _new(arguments: argparse.Namespace) -> int:
    root = load_deployment(arguments.root).server.root_path
    folder = new_module(root / "modules", arguments.name)
    print(f"{folder}: test it with `llamachat selftest {arguments.name}`; the next start runs it")
    return 0


def _selftest(arguments: argparse.Namespace) -> int:
    return selftest(load_deployment(arguments.root), arguments.module)


def _sdk(_: argparse.Namespace) -> int:
    print(HOME)
    return 0


def _package(arguments: argparse.Namespace) -> int:
    module = module_of(load_deployment(arguments.root), arguments.module)
    print(package_module(module.path, arguments.out))
    return 0
