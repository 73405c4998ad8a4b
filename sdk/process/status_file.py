"""The module's status in a file, for whoever launched it away from the host.

Invariant: a reader finds a whole status or the one before it; a file that cannot be written costs
the module nothing. That the file changes every two seconds says that the module is alive.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from sdk.host.errors import describe
from sdk.host.wire import encode_json

logger = logging.getLogger(__name__)


class StatusFile:
    """Writes to `path`; with an empty one it does nothing."""

    def __init__(self, path: str) -> None:
        self._path = path

    def write(self, status: Mapping[str, Any]) -> None:
        if not self._path:
            return
        unfinished = f"{self._path}.new"
        try:
            with open(unfinished, "wb") as file:
                file.write(encode_json(status))
            os.replace(unfinished, self._path)
        except OSError as error:
            logger.debug("status not written: %s", describe(error))
