"""The deployment that a command works with: a folder that was named, a checkout, or the user's own.

Invariant: what pip or uv installed is only read. Outside a checkout the deployment's root is the
user's data directory, with `models`, `modules` and `environments` in it, and its own settings are
in the user's configuration directory.
"""

from __future__ import annotations

from pathlib import Path

from host.settings import Settings, load_settings
from host.settings.files import FILE_NAME
from host.settings.home import HOME, is_package
from host.settings.places import default_config_dir, default_data_dir


def load_deployment(
    root: Path | None, home: Path = HOME, *, root_file: Path | None = None
) -> Settings:
    """The settings in `root`; where none is named, those of this installation. `root_file` takes
    the place of the deployment's own file.

    Raises SettingsError.
    """
    if root is not None or not is_package(home):
        return load_settings(root or home, root_file=root_file)
    own = root_file or default_config_dir() / FILE_NAME
    return load_settings(default_data_dir(), root_file=own, installed=home)
