"""The command `llamachat`: serve, ask, status, models, package."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from host import __version__
from host.app import Host, PortInUse, serve_until
from host.ask import EXIT_FAILED, EXIT_INTERRUPTED, ask
from host.client import HostClient, HostError
from host.packaging import PackageError, package_module
from host.settings import (
    ModuleSettings,
    Settings,
    SettingsError,
    load_settings,
    module_environment,
    module_python,
)
from host.supervisor import UnknownModule

DEFAULT_URL = "http://127.0.0.1:32168"
CHAT_MODULE = "LlamaChat"


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, run one command, return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except (SettingsError, UnknownModule, PortInUse, PackageError, HostError, OSError) as error:
        print(f"llamachat: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="llamachat", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the host and its modules")
    _add_root(serve)
    serve.add_argument("--host", help="address to listen on (default: the settings' 127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to listen on (default: the settings' 32168)")
    serve.add_argument("--verbose", action="store_true", help="log everything, not just the news")
    serve.set_defaults(run=_serve)

    question = commands.add_parser("ask", help="ask the chat, and print the reply as it grows")
    question.add_argument("prompt")
    question.add_argument("--system", help="who the assistant is to be")
    question.add_argument("--max-tokens", type=int, help="0 = until the model ends")
    question.add_argument("--temperature", type=float, help="0 = always the likeliest word")
    question.add_argument("--url", default=DEFAULT_URL, help="the host to ask (%(default)s)")
    question.add_argument(
        "--serve", action="store_true", help="run a host of its own for the time of the question"
    )
    _add_root(question)
    question.set_defaults(run=_ask)

    status = commands.add_parser("status", help="show a running host's modules")
    status.add_argument("--url", default=DEFAULT_URL, help="the host to ask (%(default)s)")
    status.set_defaults(run=_status)

    models = commands.add_parser("models", help="list the models by name, or install and use one")
    models.add_argument("name", nargs="?", help="the model to install and use (default: list them)")
    _add_root(models)
    models.set_defaults(run=_models)

    package = commands.add_parser("package", help="write a module as the zip that other hosts take")
    package.add_argument("module", help="the module's id, such as LlamaChat")
    package.add_argument("--out", type=Path, default=Path("."), help="folder to write it to")
    _add_root(package)
    package.set_defaults(run=_package)
    return parser


def _add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(__file__).resolve().parent.parent,
        help="folder with modulesettings.json and modules/ (default: this installation)",
    )


def _serve(arguments: argparse.Namespace) -> int:
    logging.basicConfig(
        level=logging.DEBUG if arguments.verbose else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(message)s",
        stream=sys.stderr,
    )
    settings = _settings(arguments.root, host=arguments.host, port=arguments.port)
    return asyncio.run(_serve_settings(settings))


def _settings(root: Path, **overrides: Any) -> Settings:
    settings = load_settings(root)
    given = {key: value for key, value in overrides.items() if value is not None}
    server = settings.server.model_copy(update=given)
    return Settings(server, settings.modules, settings.broken, settings.warnings)


async def _serve_settings(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # SIGHUP: the terminal was closed
        if hasattr(signal, name) and sys.platform != "win32":
            loop.add_signal_handler(getattr(signal, name), stop.set)
    host = Host(settings)
    await host.start()
    print(_greeting(host.url), flush=True)
    await serve_until(host, stop)
    return 0


def _greeting(url: str) -> str:
    return (
        f"\nLlamaChat host {__version__}\n"
        f"  Explorer: {url}/\n"
        f"  Ask:      curl {url}/v1/text/chat -d prompt='What can you do?'\n"
        f"  Status:   curl {url}/v1/LlamaChat/get_command_status -d commandId=ID\n"
        "  Stop:     Ctrl-C\n"
    )


def _ask(arguments: argparse.Namespace) -> int:
    values = {
        "prompt": arguments.prompt,
        "system_prompt": arguments.system,
        "max_tokens": arguments.max_tokens,
        "temperature": arguments.temperature,
    }
    values = {key: value for key, value in values.items() if value is not None}
    if not arguments.serve:
        return _run_interruptible(lambda: ask(arguments.url, values))
    logging.disable()  # what went wrong is in the reply
    settings = _settings(arguments.root, port=0)
    return _run_interruptible(lambda: _ask_own_host(settings, values))


async def _ask_own_host(settings: Settings, values: dict[str, Any]) -> int:
    host = Host(settings)
    try:
        await host.start()
        return await ask(host.url, values)
    finally:
        await host.stop()


def _run_interruptible(job: Callable[[], Awaitable[int]]) -> int:
    """Run a job that Ctrl-C and SIGTERM cancel, once: it then ends in its own way."""

    async def run() -> int:
        task = asyncio.ensure_future(job())
        loop = asyncio.get_running_loop()
        if sys.platform != "win32":
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, task.cancel)
        return await task

    return asyncio.run(run())


def _status(arguments: argparse.Namespace) -> int:
    async def statuses() -> list[dict[str, Any]]:
        async with HostClient(arguments.url) as client:
            body = await client.call("GET", "/v1/module/list/status")
        return list(body["statuses"])

    for one in asyncio.run(statuses()):
        data = one["statusData"]
        device = data.get("inferenceDevice", "")
        print(f"{one['moduleId']:<20} {one['status']:<12} {one['requestCount']:>6} done  {device}")
        if one["reason"]:
            print(f"{'':<20} {one['reason']}")
    return 0


def _models(arguments: argparse.Namespace) -> int:
    """The list belongs to the module: its own script does this, in the module's environment."""
    settings = load_settings(arguments.root)
    module = _module(settings, CHAT_MODULE)
    env = module_environment(module, settings.server, "", os.environ)
    script = module.path / "model_download.py"
    command = [module_python(module.path), str(script), arguments.name or "--list"]
    return subprocess.run(command, cwd=module.path, env=env, check=False).returncode  # noqa: S603


def _package(arguments: argparse.Namespace) -> int:
    module = _module(load_settings(arguments.root), arguments.module)
    print(package_module(module.path, arguments.out))
    return 0


def _module(settings: Settings, module_id: str) -> ModuleSettings:
    """The module of that id, letter case aside. Raises UnknownModule."""
    for module in settings.modules:
        if module.id.lower() == module_id.lower():
            return module
    raise UnknownModule(module_id, [module.id for module in settings.modules])
