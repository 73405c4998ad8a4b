"""The base class of every module adapter: what to override, and what may be used.

Invariant: everything an adapter overrides has a default here that is harmless.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn, TypeAlias

import aiohttp

from sdk.author.module_options import ModuleOptions
from sdk.host.client import HostClient
from sdk.host.errors import HostUnavailable, describe
from sdk.host.wire import JSON
from sdk.process.life import end_now, run_as_process, self_test_as_process
from sdk.process.module_logging import LogMethod, ModuleLogger
from sdk.process.system_info import SystemInfo
from sdk.work.long_process import LongProcess
from sdk.work.request_data import RequestData

logger = logging.getLogger(__name__)

ProcessResult: TypeAlias = JSON | LongProcess | Callable[..., Any]


class ModuleRunner:
    """Derive from it, override what you need, and call `start_loop()`."""

    def __init__(self) -> None:
        options = ModuleOptions
        self.system_info = SystemInfo()

        self.module_id = options.module_id
        self.module_name = options.module_name
        self.queue_name = options.queue_name
        self.port = options.port
        self.base_api_url = options.base_api_url
        self.server_root_path = options.server_root_path
        self.module_path = options.module_path
        self.python_dir = options.python_dir
        self.launched_by_server = options.launched_by_server
        self.log_verbosity = options.log_verbosity

        self.parallelism = options.parallelism
        """How many commands may run at once; may be changed before `start_loop()`."""
        self.required_MB = options.required_MB
        self.accel_device_name = options.accel_device_name
        self.enable_GPU = options.enable_GPU
        self.half_precision = options.half_precision

        self.inference_device = "CPU"
        self.inference_library = ""
        self.can_use_GPU = False

        self.force_shutdown = True
        """Published style only: False says that a cancelled command ends by itself."""

        self.logger = ModuleLogger()
        self.client: HostClient | None = None
        self._performing_self_test = False
        self._successful_inferences = 0
        self._failed_inferences = 0
        self._timed_inferences = 0
        self._total_inference_ms = 0.0

    # To be overridden ---------------------------------------------------------------------------

    def initialise(self) -> Awaitable[None] | None:
        """Loads what the module needs. While it runs the module is "loading"; if it raises, the
        module is "failed" and every command is answered with the reason. May be async."""
        return None

    def initialize(self) -> Awaitable[None] | None:
        """The other spelling; override one of the two."""
        return self.initialise()

    def process(self, data: RequestData) -> ProcessResult | Awaitable[ProcessResult]:
        """Handles one command: returns a dict (the answer), `LongProcess(fn)`, or, in the published
        style, a bare callable. Raising answers with the error. Called from several threads at once,
        up to `parallelism`. May be async."""
        return {"success": False, "error": f"{type(self).__name__} has no process()", "code": 501}

    def module_status(self) -> JSON:
        """What to add to the module's status. Called every two seconds; be quick."""
        return {}

    def command_status(self) -> JSON:
        """Published style only: the running command's status, its text so far under "reply"."""
        return {}

    def cancel_command_task(self) -> Awaitable[None] | None:
        """Published style only: asks the running command to stop. Called until it has stopped."""
        return None

    def update_statistics(self, response: JSON) -> None:
        """Called with every final answer or result; counts successes, failures, `inferenceMs`."""
        if not isinstance(response, dict) or not response.get("success"):
            self._failed_inferences += 1
            return
        self._successful_inferences += 1
        inference_ms = response.get("inferenceMs")
        if isinstance(inference_ms, (int, float)):
            self._timed_inferences += 1
            self._total_inference_ms += inference_ms

    def selftest(self) -> JSON | Awaitable[JSON]:
        """Checks, after `initialise()`, that the module works; `success` false or raising fails."""
        return {"success": True}

    def cleanup(self) -> Awaitable[None] | None:
        """Frees what `initialise()` took. Has 0.3 s, and is left out if a thread is stuck."""
        return None

    # To be used ---------------------------------------------------------------------------------

    def start_loop(self) -> None:
        """Serves the host until told to quit; with `--selftest` on the command line, tests itself
        and exits with 0 or 1."""
        if "--selftest" in sys.argv[1:]:
            self_test_as_process(self)
        run_as_process(self, ModuleOptions.launch(self.module_id, self.queue_name))

    def give_up(self, reason: str) -> NoReturn:
        """Ends the process at once, with exit code 1, for a fault that only a new one is rid of.
        From any thread. The host launches the module again, and gives it what this process had,
        unless some of its text was shown."""
        self.logger.flush_to_console()
        logger.critical("giving up: %s", reason)
        end_now(1)

    def log(self, method: LogMethod, data: Mapping[str, Any]) -> None:
        """Logs `data["message"]` with `loglevel`, `label`, `filename`, ... From any thread."""
        if data:
            process = data.get("process") or self.module_name
            self.logger.log(method, dict(data) | {"process": process})

    async def log_async(self, method: LogMethod, data: Mapping[str, Any]) -> None:
        self.log(method, data)

    def report_error(
        self, exception: BaseException | None, filename: str, message: str | None = None
    ) -> None:
        """Logs an error to the host: `message`, or the exception's own words."""
        words = message or (describe(exception) if exception is not None else "unknown error")
        self.log(
            LogMethod.Error | LogMethod.Server,
            {
                "message": words,
                "loglevel": "error",
                "filename": filename,
                "exception_type": type(exception).__name__ if exception is not None else "",
            },
        )
        logger.debug("reported error", exc_info=exception)

    async def report_error_async(
        self, exception: BaseException | None, filename: str, message: str | None = None
    ) -> None:
        self.report_error(exception, filename, message)

    async def call_api(
        self,
        method: str,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> JSON:
        """Posts to another route of the host (`method` such as "text/chat"). `files` maps a name to
        (file name, content, content type). Returns its JSON; raises HostUnavailable."""
        if self.client is None:
            raise HostUnavailable("call_api() works between start_loop() and its end only")
        form = aiohttp.FormData()
        for key, value in (data or {}).items():
            form.add_field(key, str(value))
        for key, (file_name, content, content_type) in (files or {}).items():
            form.add_field(key, content, filename=file_name, content_type=content_type)
        return await self.client.call_api(method, form)

    def start_timer(self, desc: str) -> tuple[str, float]:
        return desc, time.perf_counter()

    def end_timer(
        self, timer: tuple[str, float], label: str = "timing", command: str | None = None
    ) -> None:
        """Logs the time since `start_timer()`."""
        desc, started_s = timer
        took_ms = (time.perf_counter() - started_s) * 1000
        message = f"{desc} took {took_ms:.0f} ms" + (f" ({command})" if command else "")
        self.log(LogMethod.Info | LogMethod.Server, {"message": message, "label": label})

    def statistics(self) -> dict[str, Any]:
        """What `update_statistics()` has counted."""
        timed = self._timed_inferences
        return {
            "successfulInferences": self._successful_inferences,
            "failedInferences": self._failed_inferences,
            "numInferences": self._successful_inferences + self._failed_inferences,
            "averageInferenceMs": self._total_inference_ms / timed if timed else 0,
        }
