"""Where a running host is: what `ask`, `status`, `drain` and `doctor` look for.

Invariant: what the user names wins; then what a running host says of itself in its data directory;
then the port that the settings name.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from host.access.secret import own_token, read_secret
from host.cli.client import HostError
from host.settings.deployment import load_deployment
from host.settings.places import data_dir, make_private_dir
from host.store.holder import read_holder, remove_holder, write_holder

_log = logging.getLogger(__name__)


@contextmanager
def announced(folder: Path, address: str) -> Iterator[None]:
    """Say in the data directory where this host listens, for as long as it does."""
    try:
        make_private_dir(folder, is_own=False)
        write_holder(folder, address)
    except OSError as error:
        _log.warning("`llamachat status` will not find this host by itself: %s", error)
        yield
        return
    try:
        yield
    finally:
        remove_holder(folder)


def host_url(url: str | None, folder: Path | None, root: Path | None) -> str:
    """The address of the host that is meant. Raises HostError, SettingsError."""
    if url:
        return url
    if folder and (address := _said_in(folder)):
        return address
    server = load_deployment(root).server
    folder = folder or data_dir(server)
    address = _said_in(folder) or (server.url if server.port else None)
    if address is None:
        raise HostError(
            f"no host runs with the data directory {folder}, and Server.Port is 0: it takes any. "
            "Start one with `llamachat serve`, or name yours with --url or --data-dir"
        )
    return address


def token_for(url: str, folder: Path) -> str | None:
    """What this user may show to the host at `url`: the own token of a data directory, where a host
    that works with it says that it listens there. Anybody else is shown nothing."""
    if _said_in(folder) != url.rstrip("/"):
        return None
    try:
        secret = read_secret(folder)
    except OSError:  # the service's user reads it, this one does not
        return None
    return own_token(secret) if secret else None


def _said_in(folder: Path) -> str | None:
    holder = read_holder(folder)
    return holder.address if holder and holder.address else None
