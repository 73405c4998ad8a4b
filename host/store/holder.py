"""Which host works with a data directory, and where it listens: `host.json` in there.

Invariant: only its user can read it; nobody ever sees half of it; one whose process has ended,
however it ended, counts as absent.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import psutil

FILE_NAME = "host.json"

_CLOCK_S = 2.0
"""Between the clock that processes are dated with and the one that dates the record."""


@dataclass(frozen=True)
class Holder:
    """A host that runs. `address` is empty as long as it does not know its port."""

    pid: int
    address: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid}{self.address and f' at {self.address}'}, since {self.since}"


def write_holder(data_dir: Path, address: str) -> None:
    """Say that this process works with the directory. Raises OSError."""
    since = datetime.now(timezone.utc).isoformat(timespec="seconds")
    fresh = data_dir / f"{FILE_NAME}.{os.getpid()}"
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(Holder(os.getpid(), address, since)), file)
    os.replace(fresh, data_dir / FILE_NAME)


def read_holder(data_dir: Path) -> Holder | None:
    """The host that works with the directory now; None where none says so."""
    try:
        record = json.loads((data_dir / FILE_NAME).read_text(encoding="utf-8"))
        holder = Holder(int(record["pid"]), str(record["address"]), str(record["since"]))
        return holder if _is_alive(holder) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def remove_holder(data_dir: Path) -> None:
    """Take back what this process has said; another's word is left alone."""
    holder = read_holder(data_dir)
    if holder is not None and holder.pid == os.getpid():
        with suppress(OSError):
            (data_dir / FILE_NAME).unlink()


def _is_alive(holder: Holder) -> bool:
    """Whether that process still runs: one that began later only has the same number."""
    since = datetime.fromisoformat(holder.since).timestamp()
    try:
        return psutil.Process(holder.pid).create_time() <= since + _CLOCK_S
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
