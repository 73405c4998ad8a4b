"""How a module's process was launched: what it cannot know by itself."""

from __future__ import annotations

from dataclasses import dataclass

from sdk.host.client import HostAddress


@dataclass(frozen=True)
class Launch:
    """`is_store_shared`: other hosts serve the same commands, so work outlives this one's host.
    `status_file`: see status_file.py."""

    address: HostAddress
    status_file: str = ""
    is_store_shared: bool = False
