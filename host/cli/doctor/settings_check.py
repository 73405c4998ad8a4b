"""The settings files: can they be read, and do they mean what they say?

Invariant: there are always settings to go on with: without a deployment's own file that can be
used, the defaults.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from host.cli.doctor.checks import Check, bad, good
from host.settings import Settings, SettingsError

LoadSettings = Callable[[Path | None], Settings]
"""Reads the settings; with another file in place of the deployment's own, if one is given."""

NAME = "settings"


def read_settings(load: LoadSettings) -> tuple[Settings, list[Check]]:
    """The settings, and what is to be said about them."""
    try:
        settings = load(None)
    except SettingsError as error:
        remedy = "correct it there; what follows was looked at with the default settings"
        found = [bad(NAME, str(error), remedy)]
        settings = _defaults(load)
    else:
        found = [bad(NAME, warning, "correct it there") for warning in settings.warnings]
    for module in settings.broken:
        found += [bad(NAME, str(one), "correct it there", module.id) for one in module.errors]
    if not settings.modules and not found:
        found.append(_no_modules(settings))
    return settings, found or [good(NAME, _words(settings))]


def _defaults(load: LoadSettings) -> Settings:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "modulesettings.json"
        file.write_text("{}", encoding="utf-8")
        return load(file)


def _no_modules(settings: Settings) -> Check:
    finding = f"there is no module in {settings.server.root_path / 'modules'}"
    return bad(NAME, finding, "put one there, or name its folder in Server.ModuleFolders")


def _words(settings: Settings) -> str:
    modules = ", ".join(module.id for module in settings.modules)
    return f"{settings.server.root_path}; modules: {modules}"
