"""docs/architecture.md tells of the house as it is: its files, and the way of a command."""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from pathlib import Path
from types import FrameType

import aiohttp
import pytest
from puppet import Caller, Puppet, running_host, write_root

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MOST_FUNCTIONS, MOST_FILES = 30, 15

Function = tuple[str, str]
"""Its file, from the root on, and its name there."""


def listed() -> list[Function]:
    """The functions in the table of the way, in its order."""
    rows = re.findall(r"^\| `(host/\S+\.py)` \| (.*) \|$", PAGE, re.MULTILINE)
    return [(file, name) for file, names in rows for name in re.findall(r"`([\w.]+)`", names)]


def test_every_file_that_the_page_names_is_there() -> None:
    named = re.findall(r"`((?:host|sdk|modules|tests|docs|bench)/[\w./-]*)`", PAGE)
    assert len(named) > 40
    assert [one for one in named if not (ROOT / one).exists()] == []


class Calls:
    """Which functions of the host are called, in any thread, while it looks."""

    def __init__(self) -> None:
        self.seen: set[Function] = set()

    def look(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(f"{ROOT}/host/"):
            self.seen.add((code.co_filename[len(str(ROOT)) + 1 :], code.co_qualname))


async def one_command(url: str) -> None:
    """From its POST to the reader of its end, with a module that waits for it."""
    async with aiohttp.ClientSession() as session:
        client, puppet = Caller(session, url), Puppet(session, url)
        await puppet.poll(wait=0)  # now the host knows that somebody serves
        taking = asyncio.create_task(puppet.take())
        command_id = await client.tell()
        work = await taking
        async with session.get(f"{url}/v1/commands/{command_id}/events") as events:
            await puppet.progress(work, 0, "Hello")
            await puppet.finish(work, 5, " world")
            assert "event: done" in await events.text()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="frames do not know whose method they are")
async def test_a_command_passes_the_functions_that_the_page_lists(tmp_path: Path) -> None:
    way, calls = listed(), Calls()
    assert 20 < len(way) <= MOST_FUNCTIONS and len({file for file, _ in way}) <= MOST_FILES
    threading.setprofile(calls.look)  # the writer's thread begins with the host
    try:
        async with running_host(write_root(tmp_path, Store="local")) as host:
            calls.seen.clear()
            sys.setprofile(calls.look)
            await one_command(host.url)
            sys.setprofile(None)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    assert [one for one in way if one not in calls.seen] == []
