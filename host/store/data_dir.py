"""The data directory: where it is, that only its user can read it, and which host holds it.

Invariant: one host per directory; the system lets go of the lock when the process ends, however it
ends.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from filelock import FileLock, Timeout

from host.store.holder import read_holder, remove_holder, write_holder
from host.store.protocol import StoreLocked

if TYPE_CHECKING:
    from host.settings.schema import ServerSettings

ENV_NAME = "LLAMACHAT_DATA_DIR"
CONFIG_ENV_NAME = "LLAMACHAT_CONFIG_DIR"

LOCK_NAME = "host.lock"


def default_data_dir(env: Mapping[str, str] = os.environ) -> Path:
    """Where this system keeps a user's data, unless LLAMACHAT_DATA_DIR says another place."""
    return Path(env.get(ENV_NAME) or platformdirs.user_data_path("llamachat", False)).expanduser()


def default_config_dir(env: Mapping[str, str] = os.environ) -> Path:
    """Where a user's settings lie, unless LLAMACHAT_CONFIG_DIR says another place."""
    default = platformdirs.user_config_path("llamachat", False)
    return Path(env.get(CONFIG_ENV_NAME) or default).expanduser()


def data_dir(server: ServerSettings, env: Mapping[str, str] = os.environ) -> Path:
    """Where the host keeps what outlives it; a relative path begins at the deployment's root."""
    if server.data_dir is None:
        return default_data_dir(env)
    return server.root_path / server.data_dir.expanduser()


def make_private_dir(path: Path, *, is_own: bool = True) -> None:
    """Make a directory that only its user can enter; its parents are as the system makes them.

    One that is there already, and is not this program's own, stays as open as it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    if is_own and os.name == "posix":
        path.chmod(0o700)


def make_private_file(path: Path) -> None:
    """Make an empty file that only its user can read, unless the file is there."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    if os.name == "posix":
        path.chmod(0o600)


class DataDirLock:
    """The hold on a data directory; `address` is what others are told about its holder."""

    def __init__(self, data_dir: Path, address: str) -> None:
        self._data_dir = data_dir
        self._address = address
        self._lock = FileLock(data_dir / LOCK_NAME, mode=0o600, timeout=0, thread_local=False)

    def acquire(self) -> None:
        """Take hold, and write down who does. Raises StoreLocked, OSError."""
        make_private_dir(self._data_dir, is_own=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise StoreLocked(
                f"{self._data_dir} is held by another host "
                f"({read_holder(self._data_dir) or 'it does not say which'}): stop that one, or "
                "give this one a directory of its own with --data-dir"
            ) from None
        with suppress(OSError):  # a full disk: the hold is the lock, this is a courtesy
            write_holder(self._data_dir, self._address)

    def release(self) -> None:
        """Let go; what is not held changes nothing."""
        if self._lock.is_locked:
            remove_holder(self._data_dir)
            self._lock.release()
