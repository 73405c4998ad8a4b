"""What a command writes to the disk while it grows: bytes given to the system, and to the disk.

    python bench/written.py --seconds 60

A prompt of 1 MB is asked on the local store, claimed, and answered with 10 pieces of 60 characters
a second. It works on the store of the directory that it is run in, so that an older version of the
program can be measured by it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.getcwd())

from host.commands import NewCommand, Outcome
from host.store.local import LocalStore
from host.wire import system_payload

PIECE = "sixty letters of a reply that somebody reads as it comes in. "


def written() -> tuple[int, int]:
    """Bytes of this process's writes so far, and those of them that went to a disk (Linux)."""
    facts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(facts["wchar"]), int(facts["write_bytes"])


async def grow(store: LocalStore, command_id: str, attempt: str, seconds: float) -> int:
    """Append a piece ten times a second; how many characters that were."""
    length = 0
    for number in range(int(seconds * 10)):
        fields = {"completionTokens": number}
        length = await store.append(command_id, attempt, length, PIECE, fields)
        await asyncio.sleep(0.1)
    return length


async def measure(folder: Path, seconds: float) -> None:
    store = LocalStore(folder / "data")
    await store.open()
    payload = system_payload("queue", "prompt", prompt="x" * 2**20)
    await store.create(NewCommand("Chat", "queue", "prompt", payload, True))
    command = await store.claim("queue", "worker", wait_s=0)
    assert command is not None  # noqa: S101
    await asyncio.sleep(2)
    attempt = command.attempt or ""
    before = written()
    length = await grow(store, command.id, attempt, seconds)
    grown = written()
    await store.finish(command.id, attempt, Outcome.of({"success": True}))
    await store.close()
    ended = written()
    print(f"new text {length}", end="")
    for name, since, until in (("while it grew", before, grown), ("at its end", grown, ended)):
        calls, disk = (two - one for one, two in zip(since, until, strict=True))
        print(f"; {name}: written {calls}, of that to a disk {disk}", end="")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-written-") as folder:
        asyncio.run(measure(Path(folder), options.seconds))


if __name__ == "__main__":
    main()
