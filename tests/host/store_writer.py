"""A process that works on a local store and says what was confirmed to it, for fault tests.

    python store_writer.py DATA_DIR WORKERS [FILE_SIZE_LIMIT]

Each worker creates, claims, grows and ends commands without a pause. A line on stdout follows each
confirmation: `created ID`, `ended ID`, or `refused` with the reason. With a limit no file may grow
beyond that many bytes; a line on stdin lifts it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from store_suite import new

from host.commands import Outcome
from host.store.local import LocalStore
from host.store.protocol import StoreUnavailable


def reply_to(command_id: str) -> str:
    """What the command's reply must be."""
    return f"the reply of {command_id} " * 20


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def work(store: LocalStore, name: str) -> None:
    """Every second command of a worker is left waiting or running."""
    while True:
        try:
            made = await store.create(new(client=name))
            say("created", made.id)
            command = await store.claim("chat_queue", name, wait_s=0)
            if command is None or int(command.id[0], 16) % 2:
                continue
            attempt, reply = command.attempt or "", reply_to(command.id)
            await store.append(command.id, attempt, 0, reply[:50], {"n": 1})
            outcome = Outcome.of({"success": True, "reply": reply})
            await store.finish(command.id, attempt, outcome)
            say("ended", command.id)
        except StoreUnavailable as error:
            say("refused", error)
            await asyncio.sleep(0.05)


def limit_files(limit_bytes: int) -> None:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))


async def lift_limit() -> None:
    import resource

    await asyncio.to_thread(sys.stdin.readline)
    limit_files(resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    say("lifted")


async def main(data_dir: str, workers: str, limit: str = "") -> None:
    store = LocalStore(Path(data_dir), max_queue_length=1_000_000)
    await store.open()
    jobs = [work(store, f"worker {n}") for n in range(int(workers))]
    if limit:
        limit_files(int(limit))
        jobs.append(lift_limit())
    await asyncio.gather(*jobs)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
