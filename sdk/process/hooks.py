"""What a module's process needs of the module: the seam between the SDK and its runner."""

from __future__ import annotations

from typing import Any, Protocol

from sdk.field.published import PublishedAdapter
from sdk.host.answer_sender import Identity
from sdk.host.client import HostClient
from sdk.process.module_logging import LogVerbosity, ModuleLogger
from sdk.work.hooks import CommandHooks


class ModuleHooks(CommandHooks, PublishedAdapter, Identity, Protocol):
    """Each function that the module's author writes may be a coroutine function, and may raise."""

    parallelism: int
    launched_by_server: bool
    log_verbosity: LogVerbosity
    inference_library: str
    can_use_GPU: bool
    logger: ModuleLogger
    client: HostClient | None
    """Set while the module is served."""
    _performing_self_test: bool

    def initialize(self) -> Any: ...
    def module_status(self) -> Any: ...
    def cleanup(self) -> Any: ...
    def statistics(self) -> dict[str, Any]: ...
    def report_error(
        self, exception: BaseException | None, filename: str, message: str | None = None
    ) -> None: ...
