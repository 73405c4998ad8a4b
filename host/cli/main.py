"""The command `llamachat`: serve, ask, status, drain, doctor, module, models, selftest, ..."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

from host import __version__
from host.access.keys import KeyRefused
from host.access.opening import OpenToStrangers
from host.app import PortInUse
from host.cli import asking, keys, making, serving
from host.cli.ask import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_UNREAD
from host.cli.client import HostError
from host.cli.environments import SetupFailed
from host.cli.new_module import NewModuleError
from host.cli.packaging import PackageError
from host.cli.remote import ModuleGaveUp
from host.processes.supervisor import UnknownModule
from host.settings import SettingsError
from host.settings.deployment import load_deployment
from host.store.protocol import StoreLocked, StoreUnavailable
from host.wire import PROTOCOL


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, run one command, return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        return _unread()
    except (
        SettingsError,
        UnknownModule,
        PortInUse,
        PackageError,
        NewModuleError,
        HostError,
        KeyRefused,
        OpenToStrangers,
        ModuleGaveUp,
        SetupFailed,
        StoreLocked,
        StoreUnavailable,
        OSError,
    ) as error:
        print(f"llamachat: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def _unread() -> int:
    """Nobody reads the output any more, as after `| head`: what is left of it goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_UNREAD


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="llamachat", description=__doc__)
    parser.add_argument("--version", action=_Version, nargs=0, help="show it, and end")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for room in (serving, asking, keys, making):
        room.add_to(commands)
    return parser


class _Version(argparse.Action):
    """Say the versions of all there is here, and end."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"llamachat {__version__} ({', '.join(_versions())})")
        parser.exit()


def _versions() -> Iterator[str]:
    try:
        for module in load_deployment(None).modules:
            yield f"module {module.id} {module.version}"
    except SettingsError as error:
        yield f"modules not known: {error}"
    yield f"protocol {PROTOCOL}"
