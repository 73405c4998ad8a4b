"""Settings of the host and its modules: read, merged, validated.

Start at `load_settings` (load.py); the shapes are in schema.py.
"""

from host.settings.errors import SettingsError
from host.settings.launch import launch_command, module_environment, module_python
from host.settings.load import BrokenModule, Settings, load_settings
from host.settings.schema import (
    GpuOptions,
    LaunchSettings,
    ModuleSettings,
    RouteMap,
    RouteParameter,
    ServerSettings,
)

__all__ = [
    "BrokenModule",
    "GpuOptions",
    "LaunchSettings",
    "ModuleSettings",
    "RouteMap",
    "RouteParameter",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "launch_command",
    "load_settings",
    "module_environment",
    "module_python",
]
