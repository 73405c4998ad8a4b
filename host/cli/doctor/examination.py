"""The examination: one thing after the other, and whatever is broken, on to the next.

Invariant: it changes nothing, and every part of it ends in bounded time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from host.cli.doctor.access_check import check_access
from host.cli.doctor.checks import Check, bad
from host.cli.doctor.data_check import check_data
from host.cli.doctor.machine import check_disk, check_memory, check_python
from host.cli.doctor.modules import PROGRAM_LIMIT_S, check_module, check_running
from host.cli.doctor.network import Answers, answers, asked_once, check_port, check_redis
from host.cli.doctor.settings_check import LoadSettings, read_settings
from host.settings import ServerSettings
from host.settings.places import data_dir
from host.store.holder import read_holder


async def examine(
    load: LoadSettings, program_limit_s: float = PROGRAM_LIMIT_S
) -> AsyncIterator[Check]:
    """Everything that can be looked at, in the order in which to mend it."""
    yield check_python()
    settings, found = read_settings(load)
    for check in found:
        yield check
    server = settings.server
    ask = asked_once(answers)
    folder = data_dir(server)
    yield await _looked("memory", check_memory)
    yield await _looked("disk", lambda: check_disk(folder))
    yield await _looked("data", lambda: check_data(folder, ask))
    yield await _looked("port", lambda: check_port(server, ask))
    yield await _looked("access", lambda: check_access(server, folder))
    if server.is_store_shared:
        yield await _looked("redis", lambda: check_redis(server.store))
    running = await _running(server, folder, ask)
    for check in running:
        yield check
    served = {check.module for check in running if check.is_good}
    for module in settings.modules:
        for check in await check_module(module, server, module.id in served, program_limit_s):
            yield check


async def _looked(name: str, look: Callable[[], Check | Awaitable[Check]]) -> Check:
    """The check, whatever happens in it: what nobody has thought of is bad too."""
    try:
        looked = look()
        return looked if isinstance(looked, Check) else await looked
    except Exception as error:
        finding = f"it could not be looked at: {type(error).__name__}: {error}"
        return bad(name, finding, "mend what the error names; if it names nothing, report it")


async def _running(server: ServerSettings, folder: Path, ask: Answers) -> list[Check]:
    """The modules of the host that runs here, if one does."""
    holder = read_holder(folder)
    for url in (holder.address if holder else "", server.url if server.port else ""):
        if await ask(url):
            return await check_running(url, folder / "logs")
    return []
