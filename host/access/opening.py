"""Whether a host may be opened to the network as its settings say."""

from __future__ import annotations

from host.access.addresses import is_loopback
from host.access.keys import KeyFile
from host.settings.schema import ServerSettings


class OpenToStrangers(Exception):
    """A host that others reach, and nothing that tells them apart from its user."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"Server.Host: {host} lets other machines in, and no key says who may come: make one "
            "with `llamachat keys add NAME`, and start again. Or start with --insecure "
            "(Server.Insecure): then everybody who reaches the port may chat, fill the queue and "
            "use up the machine, and what they ask and get travels readable"
        )


def is_reached_by_others(host: str) -> bool:
    """Whether an address to listen on is one that other machines reach."""
    return host.lower() != "localhost" and not is_loopback(host)


def check_open(server: ServerSettings, keys: KeyFile) -> None:
    """Raise OpenToStrangers."""
    if server.insecure or not is_reached_by_others(server.host) or keys.has_any:
        return
    raise OpenToStrangers(server.host)


def warning_of(server: ServerSettings, keys: KeyFile) -> str | None:
    """What is to be said in the log of a host that was opened so; None where nothing is."""
    if keys.is_there or not is_reached_by_others(server.host):
        return None
    return f"Server.Host: {server.host}, and no keys: everybody who reaches the port may chat"
