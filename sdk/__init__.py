"""The module SDK: what the author of a module imports, with `sdk.testing` beside it.

It needs aiohttp and nothing else, because it travels inside a module's package into other hosts.
Below are its rooms. Each knows those before it, and none after it:

- host/: the host as a module sees it, its wire, its client, polls and reports
- work/: a command from its claim to its end; what a module is given for it, and what it returns
- field/: hosts that speak part 1 only, and adapters of the published style
- process/: the module's life as a process, its status, its log, its self-test
- author/: the class that a module derives from, and the options that it is launched with

What calls the module takes its hooks (work/hooks.py, process/hooks.py), never the class.
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
