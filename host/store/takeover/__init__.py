"""What earlier versions of the local store wrote comes into this one's tables before it opens."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from host.store.protocol import StoreUnavailable
from host.store.rows.files import StoreFiles, is_damage
from host.store.takeover import diskcache_records, earlier_rows


def take_over(folder: Path) -> None:
    """Where there is something; what is damaged is set aside. Raises StoreUnavailable."""
    files = StoreFiles(folder)
    try:
        if files.database.exists():
            earlier_rows.bring_up_to_date(files)
        if (folder / diskcache_records.FILE).exists():
            diskcache_records.take_over(files)
    except (sqlite3.Error, OSError) as error:
        if not is_damage(error):
            raise StoreUnavailable(
                f"cannot take over the older store in {folder}: {error}"
            ) from error
        files.set_aside(error)
