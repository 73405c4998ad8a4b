"""Where data and settings lie, and that only their user can read them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from host.settings.schema import ServerSettings

ENV_NAME = "LLAMACHAT_DATA_DIR"
CONFIG_ENV_NAME = "LLAMACHAT_CONFIG_DIR"


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
