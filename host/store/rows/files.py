"""The files of a local store: the database, a reserve for a full disk, and what was set aside.

Invariant: nobody but the user can read them; what cannot be read is kept under another name.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from host.settings.places import make_private_dir, make_private_file

_log = logging.getLogger(__name__)

RESERVE_BYTES = 2 * 2**20


class StoreFiles:
    """Those in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "commands.db"
        self._reserve = folder / "reserve"

    def make(self) -> None:
        """Make the folder and an empty database, where they are not there. Raises OSError."""
        make_private_dir(self.folder)
        make_private_file(self.database)  # SQLite gives its other files the same mode

    def set_aside(self, reason: object) -> None:
        """Give the folder another name, for somebody to look at. Raises OSError."""
        self.release_reserve()
        stamp = time.strftime("%Y%m%d-%H%M%S")
        aside = self.folder.with_name(f"{self.folder.name}.broken-{stamp}-{os.getpid()}")
        if self.folder.exists():
            shutil.move(self.folder, aside)
        text = "the database in %s cannot be used (%s): a new one begins, what there was is in %s"
        _log.error(text, self.folder, reason, aside)

    def set_record_aside(self, command_id: object, content: object, error: Exception) -> None:
        """Keep a record that cannot be read. Raises OSError."""
        file = self.folder.with_name("records.broken")
        make_private_file(file)
        with file.open("a", encoding="utf-8", errors="backslashreplace") as broken:
            broken.write(f"{command_id} {content}\n")
        text = "the record of command %s cannot be read (%s): it is set aside in %s"
        _log.error(text, command_id, error, file)

    def release_reserve(self) -> bool:
        """Give its space to what must be written now; False when there is none any more."""
        with suppress(OSError):
            self._reserve.unlink()
            return True
        return False

    def restore_reserve(self) -> bool:
        """Take the space again; False while there is not enough for both it and others."""
        try:
            if self._reserve.exists() and self._reserve.stat().st_size == RESERVE_BYTES:
                return True
            if shutil.disk_usage(self.folder).free > 2 * RESERVE_BYTES:
                make_private_file(self._reserve)
                self._reserve.write_bytes(os.urandom(RESERVE_BYTES))  # zeros may take no space
                return True
        except OSError:
            self.release_reserve()
        return False


def is_damage(error: Exception) -> bool:
    """Whether the database itself is at fault, rather than the disk or its permissions."""
    if isinstance(error, sqlite3.OperationalError):
        return str(error).startswith(("no such", "table "))  # somebody else's database
    return isinstance(error, sqlite3.DatabaseError)


def is_full(error: Exception) -> bool:
    """Whether there is no space left."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, sqlite3.OperationalError) and "full" in str(error)
