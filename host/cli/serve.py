"""`llamachat serve`: run a host until it is stopped or drained."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from host import __version__
from host.app import Host, serve_until
from host.cli.whereabouts import announced
from host.log.log_files import LogFiles
from host.log.log_writer import LogWriter
from host.log.ring import LogRing
from host.processes.allocator import give_back_large_blocks
from host.processes.descriptors import allow_more_descriptors, say_seldom_that_none_is_left
from host.processes.priority import let_models_compute
from host.settings import ModuleSettings, Settings
from host.settings.places import data_dir

CHAT_ROUTE = "text/chat"


async def serve(settings: Settings) -> int:
    """Run the host that the settings describe, and say where it is."""
    stop = stop_event()
    let_models_compute()
    give_back_large_blocks()
    allow_more_descriptors()
    say_seldom_that_none_is_left(asyncio.get_running_loop())
    host = Host(settings)
    with _log_in_files(settings, host.log):
        await host.start()
        if settings.server.on_terminate == "drain":
            _drain_first(host, stop)
        _collect_less()
        with announced(data_dir(settings.server), host.url):
            print(_greeting(host, settings), flush=True)
            await serve_until(host, stop)
    return 0


def stop_event() -> asyncio.Event:
    """Set by Ctrl-C, SIGTERM, and by the end of the terminal."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # SIGHUP: the terminal was closed
        if hasattr(signal, name) and sys.platform != "win32":
            loop.add_signal_handler(getattr(signal, name), stop.set)
    return stop


def _drain_first(host: Host, stop: asyncio.Event) -> None:
    """SIGTERM lets what runs end, for a while; a second one does not wait. Ctrl-C never does: there
    somebody sits and waits."""
    is_asked = False

    def terminated() -> None:
        nonlocal is_asked
        if is_asked:
            stop.set()
        is_asked = True
        host.draining.begin(host.server.drain_s)

    if sys.platform != "win32":
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated)


@contextmanager
def _log_in_files(settings: Settings, log: LogRing) -> Iterator[None]:
    """The log in files under the data directory, for as long as the host runs."""
    folder = data_dir(settings.server) / "logs"
    with ExitStack() as stack:
        try:
            files = LogFiles(folder, [module.id for module in settings.modules])
        except OSError as error:
            log.add(f"no log files in {folder}: {error}", level="warning", category="host")
            writer = LogWriter()
        else:
            stack.callback(files.close)
            writer = LogWriter(files.host, write=files.write)
            log.sinks.append(writer.take)
        writer.start()
        stack.callback(writer.stop)
        yield


def _collect_less() -> None:
    """A host keeps thousands of commands: Python need not look through them again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _greeting(host: Host, settings: Settings) -> str:
    url, shown = host.url, " -H 'Authorization: Bearer KEY'" if host.access.keys.is_there else ""
    lines = [f"\nLlamaChat host {__version__}", f"  Explorer: {url}/"]
    chat = next(filter(_serves_chat, settings.modules), None)
    if chat is not None:
        lines.append(f"  Ask:      curl {url}/v1/{CHAT_ROUTE}{shown} -d prompt='What can you do?'")
        lines.append(
            f"  Status:   curl {url}/v1/{chat.id}/get_command_status{shown} -d commandId=ID"
        )
    else:
        lines.append(f"  Modules:  {_module_words(settings)}; none that chats")
    return "\n".join([*lines, "  Stop:     Ctrl-C\n"])


def _serves_chat(module: ModuleSettings) -> bool:
    return any(route.path == CHAT_ROUTE for route in module.routes)


def _module_words(settings: Settings) -> str:
    if not settings.modules:
        return f"none in {settings.server.root_path}"
    return ", ".join(module.id for module in settings.modules)
