"""Commands that run modules: `serve`, `module`, and `doctor`, which tries all of it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from pathlib import Path

from host.cli.arguments import (
    Commands,
    add_root,
    add_server,
    launched_of,
    log_to_console,
    module_of,
    server_settings,
)
from host.cli.doctor import examine, report
from host.cli.environments import ensure_environments
from host.cli.remote import RemoteHost, RemoteModule
from host.cli.serve import serve, stop_event
from host.log.ring import LogRing
from host.settings import Settings
from host.settings.deployment import load_deployment
from host.settings.schema import PER_GPU, Instances


def add_to(commands: Commands) -> None:
    """Their parsers."""
    serving = commands.add_parser("serve", help="run the host and its modules")
    add_root(serving)
    add_server(serving)
    serving.add_argument("--verbose", action="store_true", help="log everything, not just the news")
    serving.set_defaults(run=_serve)

    doctor = commands.add_parser("doctor", help="look at everything, and say how to mend it")
    doctor.add_argument("--json", action="store_true", help="the findings as JSON")
    add_root(doctor)
    add_server(doctor)
    doctor.set_defaults(run=_doctor)

    module = commands.add_parser("module", help="run a module here for a host on another machine")
    module.add_argument("module", help="the module's id, such as LlamaChat")
    module.add_argument(
        "--host",
        action="append",
        required=True,
        metavar="URL",
        help="the host; name several when they share a store",
    )
    module.add_argument(
        "--token",
        default=os.environ.get("CPAI_API_TOKEN", ""),
        help="a key of the host with the role module (default: the variable CPAI_API_TOKEN)",
    )
    module.add_argument(
        "--instances", type=_instances, help='a number, or "per-gpu" (default: as set)'
    )
    add_root(module)
    module.set_defaults(run=_run_module)


def _serve(arguments: argparse.Namespace) -> int:
    log_to_console(logging.DEBUG if arguments.verbose else logging.INFO)
    settings = server_settings(arguments)
    ensure_environments(launched_of(settings), settings.server)
    return asyncio.run(serve(settings))


def _doctor(arguments: argparse.Namespace) -> int:
    logging.disable()  # everything is in the report

    def load(root_file: Path | None) -> Settings:
        return server_settings(arguments, root_file)

    return asyncio.run(report(examine(load), arguments.json))


def _run_module(arguments: argparse.Namespace) -> int:
    log_to_console(logging.INFO)
    settings = load_deployment(arguments.root)
    module = module_of(settings, arguments.module)
    ensure_environments([module], settings.server)
    if arguments.instances is not None:
        launch = module.launch.model_copy(update={"instances": arguments.instances})
        module = module.model_copy(update={"launch": launch})
    host = RemoteHost(arguments.host, arguments.token)
    remote = RemoteModule(module, settings.server, host, LogRing())

    async def run() -> None:
        await remote.run(stop_event())

    asyncio.run(run())
    return 0


def _instances(text: str) -> Instances:
    if text == PER_GPU:
        return PER_GPU
    if text.isascii() and text.isdigit() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f'expected a number from 1 on, or "{PER_GPU}", got {text!r}')
