"""The data directory: can it be written to, and who holds it?

Invariant: looking changes nothing: what is not there is not made.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from host.cli.doctor.checks import Check, bad, good
from host.cli.doctor.machine import existing
from host.cli.doctor.network import Answers
from host.store.data_dir import LOCK_NAME
from host.store.holder import read_holder

NAME = "data"

_OTHER = "name another with Server.DataDir or --data-dir"


async def check_data(folder: Path, answers: Answers) -> Check:
    """The directory of the local store, and of every host's logs."""
    problem = _write_problem(folder)
    if problem:
        remedy = f"let this user write there, or {_OTHER}"
        return bad(NAME, f"{folder} cannot be used: {problem}", remedy)
    if not _is_locked(folder):
        return good(NAME, f"{folder}, free for a host")
    holder = read_holder(folder)
    if holder is None:
        remedy = f"find it with `fuser -v {folder / LOCK_NAME}` and end it, or {_OTHER}"
        return bad(NAME, f"{folder} is held by a process that does not say which it is", remedy)
    if not await answers(holder.address):
        remedy = f"end it (kill {holder.pid}), or {_OTHER}"
        return bad(NAME, f"{folder} is held by {holder}, which does not answer", remedy)
    return good(NAME, f"{folder}, held by the host that runs: {holder}")


def _write_problem(folder: Path) -> str:
    """Why nothing can be written there; empty when something can."""
    there = existing(folder)
    if not there.is_dir():
        return f"{there} is no directory"
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"0")
            file.flush()
    except OSError as error:
        return f"{there}: {error.strerror or error}"
    return ""


def _is_locked(folder: Path) -> bool:
    if not (folder / LOCK_NAME).exists():
        return False
    lock = FileLock(folder / LOCK_NAME, mode=0o600, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    lock.release()
    return False
