"""Starts over a connection that breaks: as many commands as there are keys."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import aiohttp
import pytest
from breaking_line import BreakingLine
from clients import Report, crowd
from hosts import SEED, HostProcess, until_ready, write_root
from watch import counted

CLIENTS = 16
START = "/v1/example/count-words"


@pytest.mark.parametrize("keys", [200, pytest.param(2000, marks=pytest.mark.slow)])
async def test_as_many_commands_as_keys(
    tmp_path: Path, store: str, report: Report, keys: int
) -> None:
    write_root(tmp_path / "host", store)
    host = HostProcess(tmp_path / "host")
    begun_s, chance = time.monotonic(), random.Random(SEED)
    await host.start()
    try:
        await until_ready(host, 1)
        async with BreakingLine(host.url, chance) as line:
            first, tries = await _start_all(line.url, keys, chance)
        async with crowd([host.url], SEED) as run:
            replies = {key: await run.reply(command_id) for key, command_id in first.items()}
            stats = await run.stats()
    finally:
        host.stop()
    cuts = {f"cut while {way}": count for way, count in sorted(line.cuts.items())}
    figures = {"seed": SEED, "keys": keys, "tries": tries, **cuts}
    ended = stats["completed"] + stats["failed"] + stats["cancelled"]
    report({**figures, "commands": ended, "s": round(time.monotonic() - begun_s)})
    assert len(set(first.values())) == keys
    assert (stats["completed"], ended) == (keys, keys)
    assert (stats["waiting"], stats["running"]) == (0, 0)
    assert replies == {key: counted(2, f"{key}-") for key in first}


async def _start_all(url: str, keys: int, chance: random.Random) -> tuple[dict[str, str], int]:
    """The command of each key, and how many requests that took. Some keys are sent twice at once,
    or again after their answer, as impatient clients do."""
    first: dict[str, str] = {}
    tries = 0

    async def start(session: aiohttp.ClientSession, key: str) -> None:
        nonlocal tries
        values = {"word": f"{key}-", "words": 2, "delay_ms": 0}
        while True:
            tries += 1
            request = session.post(url + START, json=values, headers={"Idempotency-Key": key})
            try:
                async with request as response:
                    assert response.status == 200, await response.text()
                    command_id = (await response.json())["commandId"]
                    assert first.setdefault(key, command_id) == command_id
                    return
            except (aiohttp.ClientError, OSError):
                pass

    connector = aiohttp.TCPConnector(limit=0, force_close=True)  # each request is cut by itself
    async with aiohttp.ClientSession(connector=connector) as session:
        left = iter(range(keys))

        async def client() -> None:
            for number in left:
                count = 1 + (chance.random() < 0.2)
                await asyncio.gather(*(start(session, f"key{number}") for _ in range(count)))
                if chance.random() < 0.1:
                    await start(session, f"key{chance.randrange(number + 1)}")

        await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return first, tries
