"""The module SDK: what the author of a module imports.

It needs aiohttp and nothing else, because it travels inside a module's package into other hosts.
"""

from sdk.author.module_options import ModuleOptions
from sdk.author.module_runner import ModuleRunner
from sdk.host.errors import HostUnavailable, RequestError
from sdk.host.wire import JSON
from sdk.process.module_logging import LogMethod, LogVerbosity
from sdk.work.long_process import LongProcess, RunningCommand
from sdk.work.request_data import RequestData

__all__ = [
    "JSON",
    "HostUnavailable",
    "LogMethod",
    "LogVerbosity",
    "LongProcess",
    "ModuleOptions",
    "ModuleRunner",
    "RequestData",
    "RequestError",
    "RunningCommand",
]
