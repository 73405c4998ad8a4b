"""What a command needs of the module it is for: the seam between the SDK and its runner."""

from __future__ import annotations

from typing import Any, Protocol

from sdk.work.request_data import RequestData


class CommandHooks(Protocol):
    """Each may be a coroutine function; each may raise."""

    module_id: str

    def process(self, data: RequestData) -> Any: ...
    def selftest(self) -> Any: ...
    def update_statistics(self, response: Any) -> None: ...
