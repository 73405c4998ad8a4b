"""The command `llamachat`: serve, ask, status, drain, doctor, module, models, selftest, ..."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from host import __version__
from host.app import Host, PortInUse
from host.cli.ask import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_UNREAD, ask
from host.cli.client import HostError
from host.cli.doctor import examine, report
from host.cli.drain import drain
from host.cli.environments import SetupFailed, ensure_environments, set_up, set_up_checkout
from host.cli.new_module import NewModuleError, new_module
from host.cli.packaging import PackageError, package_module
from host.cli.remote import ModuleGaveUp, RemoteHost, RemoteModule
from host.cli.restart import restart
from host.cli.selftest import selftest
from host.cli.serve import serve, stop_event
from host.cli.status import status
from host.cli.whereabouts import host_url
from host.log.ring import LogRing
from host.processes.supervisor import UnknownModule
from host.settings import (
    ModuleSettings,
    Settings,
    SettingsError,
    module_environment,
    module_python,
)
from host.settings.deployment import load_deployment
from host.settings.home import HOME
from host.settings.schema import PER_GPU, Instances, store_name
from host.store.protocol import StoreLocked, StoreUnavailable
from host.wire import PROTOCOL

CHAT_MODULE = "LlamaChat"
LAST_PORT = 65535


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

    serving = commands.add_parser("serve", help="run the host and its modules")
    _add_root(serving)
    _add_server(serving)
    serving.add_argument("--verbose", action="store_true", help="log everything, not just the news")
    serving.set_defaults(run=_serve)

    question = commands.add_parser("ask", help="ask the chat, and print the reply as it grows")
    question.add_argument("prompt")
    question.add_argument("--system", help="who the assistant is to be")
    question.add_argument("--max-tokens", type=int, help="0 = until the model ends")
    question.add_argument("--temperature", type=float, help="0 = always the likeliest word")
    _add_host(question, "ask")
    question.add_argument(
        "--serve", action="store_true", help="run a host of its own for the time of the question"
    )
    question.set_defaults(run=_ask)

    overview = commands.add_parser("status", help="show a running host's modules")
    _add_host(overview, "ask")
    overview.set_defaults(run=_status)

    drain_it = commands.add_parser("drain", help="let what runs on a host finish, then end it")
    _add_host(drain_it, "end")
    drain_it.add_argument("--token", help="its Server.ModuleToken, if it is on another machine")
    drain_it.set_defaults(run=_drain)

    again = commands.add_parser("restart", help="launch one module of a running host anew")
    again.add_argument("module", help="the module's id, such as LlamaChat")
    _add_host(again, "tell")
    again.add_argument("--token", help="its Server.ModuleToken, if it is on another machine")
    again.set_defaults(run=_restart)

    doctor = commands.add_parser("doctor", help="look at everything, and say how to mend it")
    doctor.add_argument("--json", action="store_true", help="the findings as JSON")
    _add_root(doctor)
    _add_server(doctor)
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
        help="the host's Server.ModuleToken (default: the variable CPAI_API_TOKEN)",
    )
    module.add_argument(
        "--instances", type=_instances, help='a number, or "per-gpu" (default: as set)'
    )
    _add_root(module)
    module.set_defaults(run=_run_module)

    new = commands.add_parser("new", help="make a module to begin with, under modules/")
    new.add_argument("name", help="its name and id, such as Shout")
    _add_root(new)
    new.set_defaults(run=_new)

    test = commands.add_parser("selftest", help="have a module test itself, without a host")
    test.add_argument("module", help="the module's id, such as LlamaChat, or its folder")
    _add_root(test)
    test.set_defaults(run=_selftest)

    sdk = commands.add_parser("sdk", help="print the folder that a module's `import sdk` needs")
    sdk.set_defaults(run=_sdk)

    models = commands.add_parser("models", help="list the models by name, or install and use one")
    models.add_argument(
        "name", nargs="?", help="the model to install and use, or a GGUF file (default: list them)"
    )
    models.add_argument("--copy", action="store_true", help="copy that file beside the others")
    _add_root(models)
    models.set_defaults(run=_models)

    setup = commands.add_parser(
        "setup",
        help="set up what the chat runs on; --help shows the options",
        add_help=False,
        prefix_chars="\0",  # the options are the setup program's
    )
    setup.add_argument("options", nargs="*")
    setup.set_defaults(run=_set_up)

    package = commands.add_parser("package", help="write a module as the zip that other hosts take")
    package.add_argument("module", help="the module's id, such as LlamaChat")
    package.add_argument("--out", type=Path, default=Path("."), help="folder to write it to")
    _add_root(package)
    package.set_defaults(run=_package)
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


def _add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--root",
        type=Path,
        help="folder with modulesettings.json and modules/ (default: this installation)",
    )


def _add_server(parser: argparse.ArgumentParser) -> None:
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
    _add_data_dir(parser, "where the local store keeps them")


def _add_host(parser: argparse.ArgumentParser, verb: str) -> None:
    """Which running host is meant."""
    parser.add_argument(
        "--url", help=f"the host to {verb} (default: the one that runs, else the settings' port)"
    )
    _add_data_dir(parser, "the data directory of the host that runs")
    _add_root(parser)


def _add_data_dir(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--data-dir",
        type=lambda text: Path(text).expanduser().absolute(),
        help=f"{what} (default: the settings', or your user's data)",
    )


def _log_to_console(level: int) -> None:
    format_ = "%(asctime)s %(levelname)-7s %(message)s"
    logging.basicConfig(level=level, format=format_, stream=sys.stderr)


def _serve(arguments: argparse.Namespace) -> int:
    _log_to_console(logging.DEBUG if arguments.verbose else logging.INFO)
    settings = _server_settings(arguments)
    ensure_environments(_launched(settings), settings.server)
    return asyncio.run(serve(settings))


def _doctor(arguments: argparse.Namespace) -> int:
    logging.disable()  # everything is in the report

    def load(root_file: Path | None) -> Settings:
        return _server_settings(arguments, root_file)

    return asyncio.run(report(examine(load), arguments.json))


def _server_settings(arguments: argparse.Namespace, root_file: Path | None = None) -> Settings:
    return _settings(
        arguments.root,
        root_file,
        host=arguments.host,
        port=arguments.port,
        store=arguments.store,
        data_dir=arguments.data_dir,
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


def _settings(root: Path | None, root_file: Path | None = None, **overrides: Any) -> Settings:
    settings = load_deployment(root, root_file=root_file)
    given = {key: value for key, value in overrides.items() if value is not None}
    server = settings.server.model_copy(update=given)
    return Settings(server, settings.modules, settings.broken, settings.warnings)


def _ask(arguments: argparse.Namespace) -> int:
    values = {
        "prompt": arguments.prompt,
        "system_prompt": arguments.system,
        "max_tokens": arguments.max_tokens,
        "temperature": arguments.temperature,
    }
    values = {key: value for key, value in values.items() if value is not None}
    if not arguments.serve:
        url = _url(arguments)
        return _run_interruptible(lambda: ask(url, values))
    logging.disable()  # what went wrong is in the reply
    settings = _settings(arguments.root, port=0, store="memory")  # it ends with the answer
    ensure_environments(_launched(settings), settings.server)
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
    return asyncio.run(status(_url(arguments)))


def _drain(arguments: argparse.Namespace) -> int:
    url = _url(arguments)
    return _run_interruptible(lambda: drain(url, arguments.token))


def _restart(arguments: argparse.Namespace) -> int:
    return asyncio.run(restart(_url(arguments), arguments.module, arguments.token))


def _url(arguments: argparse.Namespace) -> str:
    return host_url(arguments.url, arguments.data_dir, arguments.root)


def _instances(text: str) -> Instances:
    if text == PER_GPU:
        return PER_GPU
    if text.isascii() and text.isdigit() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f'expected a number from 1 on, or "{PER_GPU}", got {text!r}')


def _run_module(arguments: argparse.Namespace) -> int:
    _log_to_console(logging.INFO)
    settings = load_deployment(arguments.root)
    module = _module(settings, arguments.module)
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


def _models(arguments: argparse.Namespace) -> int:
    """The list belongs to the module: its own script does this, in the module's environment."""
    settings = load_deployment(arguments.root)
    module = _module(settings, CHAT_MODULE)
    ensure_environments([module], settings.server)
    env = module_environment(module, settings.server, "", os.environ)
    script = module.path / "model_download.py"
    command = [module_python(module), str(script), arguments.name or "--list"]
    command += ["--copy"] if arguments.copy else []
    return subprocess.run(command, env=env, check=False).returncode  # noqa: S603


def _set_up(arguments: argparse.Namespace) -> int:
    settings = load_deployment(None)
    module = _module(settings, CHAT_MODULE)
    if module.venv is None:
        set_up_checkout(module, arguments.options)
    else:
        set_up(module, settings.server, arguments.options)
    return 0


def _package(arguments: argparse.Namespace) -> int:
    module = _module(load_deployment(arguments.root), arguments.module)
    print(package_module(module.path, arguments.out))
    return 0


def _launched(settings: Settings) -> list[ModuleSettings]:
    """The modules that start with the host."""
    return [module for module in settings.modules if module.launch.auto_start]


def _module(settings: Settings, module_id: str) -> ModuleSettings:
    """The module of that id, letter case aside. Raises UnknownModule."""
    for module in settings.modules:
        if module.id.lower() == module_id.lower():
            return module
    raise UnknownModule(module_id, [module.id for module in settings.modules])
