"""Arguments that several commands have, and what they stand for."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

from host.cli.whereabouts import host_url, token_for
from host.log.plain import PlainFormatter
from host.processes.supervisor import UnknownModule
from host.settings import ModuleSettings, Settings
from host.settings.deployment import load_deployment
from host.settings.places import data_dir
from host.settings.schema import store_name

LAST_PORT = 65535

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root",
        type=Path,
        help="folder with modulesettings.json and modules/ (default: this installation)",
    )


def add_server(parser: argparse.ArgumentParser) -> None:
    """What wins over the deployment's Server settings."""
    parser.add_argument("--host", help="address to listen on (default: the settings' 127.0.0.1)")
    parser.add_argument(
        "--port", type=_port, help="port to listen on (default: the settings' 32168)"
    )
    parser.add_argument(
        "--store",
        type=_store,
        help='where commands live: "local" (the default), "memory", or an address: redis://...',
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        default=None,
        help="let others in without keys, where --host is no loopback address: everybody who "
        "reaches the port may chat, fill the queue and use up the machine",
    )
    add_data_dir(parser, "where the local store keeps them")


def add_host(parser: argparse.ArgumentParser, verb: str) -> None:
    """Which running host is meant."""
    parser.add_argument(
        "--url", help=f"the host to {verb} (default: the one that runs, else the settings' port)"
    )
    parser.add_argument(
        "--token",
        default=os.environ.get("LLAMACHAT_KEY"),
        help="a key of the host, or its Server.ModuleToken (default: the variable LLAMACHAT_KEY, "
        "else what its data directory has for you)",
    )
    add_data_dir(parser, "the data directory of the host that runs")
    add_root(parser)


def add_data_dir(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--data-dir",
        type=lambda text: Path(text).expanduser().absolute(),
        help=f"{what} (default: the settings', or your user's data)",
    )


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= LAST_PORT:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a port from 0 to {LAST_PORT}, got {text!r}")


def _store(text: str) -> str:
    try:
        return store_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def server_settings(arguments: argparse.Namespace, root_file: Path | None = None) -> Settings:
    return settings_of(
        arguments.root,
        root_file,
        host=arguments.host,
        port=arguments.port,
        store=arguments.store,
        data_dir=arguments.data_dir,
        insecure=arguments.insecure,
    )


def settings_of(root: Path | None, root_file: Path | None = None, **overrides: Any) -> Settings:
    settings = load_deployment(root, root_file=root_file)
    given = {key: value for key, value in overrides.items() if value is not None}
    server = settings.server.model_copy(update=given)
    return Settings(server, settings.modules, settings.broken, settings.warnings)


def url_of(arguments: argparse.Namespace) -> str:
    return host_url(arguments.url, arguments.data_dir, arguments.root)


def token_of(arguments: argparse.Namespace, url: str) -> str | None:
    """What to show to the host at `url`: what was given, else that this is its own user."""
    given: str | None = arguments.token
    return given or token_for(url, arguments.data_dir or data_dir_of(arguments.root))


def data_dir_of(root: Path | None) -> Path:
    """The data directory that the settings name."""
    return data_dir(load_deployment(root).server)


def launched_of(settings: Settings) -> list[ModuleSettings]:
    """The modules that start with the host."""
    return [module for module in settings.modules if module.launch.auto_start]


def module_of(settings: Settings, module_id: str) -> ModuleSettings:
    """The module of that id, letter case aside. Raises UnknownModule."""
    for module in settings.modules:
        if module.id.lower() == module_id.lower():
            return module
    raise UnknownModule(module_id, [module.id for module in settings.modules])


def log_to_console(level: int) -> None:
    console = logging.StreamHandler(sys.stderr)
    console.setFormatter(PlainFormatter("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(level=level, handlers=[console])
    logging.captureWarnings(True)  # a library's warning may quote a request


def run_interruptible(job: Callable[[], Awaitable[int]]) -> int:
    """Run a job that Ctrl-C and SIGTERM cancel, once: it then ends in its own way."""

    async def run() -> int:
        task = asyncio.ensure_future(job())
        loop = asyncio.get_running_loop()
        if sys.platform != "win32":
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, task.cancel)
        return await task

    return asyncio.run(run())
