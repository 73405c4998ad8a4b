"""A module's log reaches the host, or the console when it cannot."""

from __future__ import annotations

import asyncio
import logging

import pytest

from sdk import LogMethod
from sdk.host.errors import HostUnavailable
from sdk.host.wire import LogEntry
from sdk.process.module_logging import MAX_HELD_ENTRIES, ModuleLogger

TO_SERVER = LogMethod.Info | LogMethod.Server


async def test_entries_reach_the_host_from_any_thread() -> None:
    logger = ModuleLogger()
    logger.log(TO_SERVER, {"message": "before the loop ran"})
    sent: asyncio.Queue[LogEntry] = asyncio.Queue()
    task = asyncio.ensure_future(logger.run(sent.put))
    assert (await sent.get()).entry == "before the loop ran"
    data = {"message": "m", "loglevel": "Error", "filename": "f.py", "exception_type": "KeyError"}
    await asyncio.to_thread(logger.log, TO_SERVER, data)
    entry = await asyncio.wait_for(sent.get(), 4)
    assert entry.log_level == "error" and entry.entry == "(f.py) [KeyError]: m"
    task.cancel()
    await asyncio.wait({task})


async def test_without_a_host_it_goes_to_the_console(caplog: pytest.LogCaptureFixture) -> None:
    async def refuse(_: LogEntry) -> None:
        raise HostUnavailable("away")

    caplog.set_level(logging.DEBUG)
    logger = ModuleLogger()
    logger.log(TO_SERVER, {"message": "kept", "process": "Llama", "loglevel": "warning"})
    await logger.flush(refuse)
    assert caplog.records[-1].getMessage() == "Llama: kept"
    assert caplog.records[-1].levelno == logging.WARNING
    logger.log(LogMethod.Info, {"message": "console only", "loglevel": "no such level"})
    assert caplog.records[-1].getMessage() == "console only"


def test_it_holds_no_more_than_so_many(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logger = ModuleLogger()
    for number in range(MAX_HELD_ENTRIES + 5):
        logger.log(TO_SERVER, {"message": str(number)})
    logger.flush_to_console()
    assert caplog.records[0].getMessage() == "5"
    assert len(caplog.records) == MAX_HELD_ENTRIES
