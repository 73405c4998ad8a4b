"""The ids of instances that a host launches: they say so, to every host."""

from __future__ import annotations

import secrets

_LAUNCHED_HERE = "local-"


def new_launched_id() -> str:
    """An id for an instance that this host launches."""
    return _LAUNCHED_HERE + secrets.token_hex(8)


def is_launched_here(instance_id: str) -> bool:
    """Whether an instance is a process that a host launched on its own machine."""
    return instance_id.startswith(_LAUNCHED_HERE)
